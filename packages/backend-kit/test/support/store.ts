import { randomUUID } from 'node:crypto';
import {
  type Clock,
  type Message,
  type QueueOptions,
  systemClock,
  TopologyConflictError,
} from '@melange/core';
import type {
  Destination,
  DriverContext,
  Fault,
  Outgoing,
  PublishDriver,
  TopologyDriver,
} from '../../src/index.ts';

/** A message in a queue. */
export interface Row {
  readonly message: Message;
  readonly attempt: number;
  redeliveries: number;
  /** Of the monotonic clock. */
  visibleAt: number;
  /** Differs for every lease. */
  fence: number;
  isTaken: boolean;
}

/** What a queue holds, and who is to be told when something comes. */
export interface StoredQueue {
  readonly rows: Row[];
  readonly deadLetterQueue: string | undefined;
  readonly wake: Set<() => void>;
}

/** The queue or topic does not exist. */
export class Missing extends Error {}

/** The connection is gone, or the broker does not answer now. */
export class Away extends Error {}

/** Queues and topics of a broker in this process: what its drivers share. */
export class Store {
  readonly queues = new Map<string, StoredQueue>();
  readonly topics = new Map<string, Map<string, Set<string> | undefined>>();
  readonly clock: Clock;

  constructor(clock: Clock = systemClock) {
    this.clock = clock;
  }

  queue(name: string): StoredQueue {
    const queue = this.queues.get(name);
    if (queue === undefined) throw new Missing(`no queue "${name}"`);
    return queue;
  }

  put(name: string, message: Message, delayMs: number, attempt = 1, redeliveries = 0): void {
    const { rows, wake } = this.queue(name);
    const visibleAt = this.clock.monotonicNow() + delayMs;
    rows.push({ message, attempt, redeliveries, visibleAt, fence: 0, isTaken: false });
    if (delayMs > 0) this.clock.schedule(() => this.#wake(wake), delayMs + 1);
    else setImmediate(() => this.#wake(wake));
  }

  /** Rows that may be taken now, in order. */
  ready(name: string): readonly Row[] {
    const now = this.clock.monotonicNow();
    return this.queue(name).rows.filter(({ visibleAt }) => visibleAt <= now);
  }

  remove(name: string, row: Row): void {
    const rows = this.queues.get(name)?.rows ?? [];
    const place = rows.indexOf(row);
    if (place >= 0) rows.splice(place, 1);
  }

  wake(name: string): void {
    this.#wake(this.queues.get(name)?.wake ?? new Set());
  }

  #wake(callbacks: Iterable<() => void>): void {
    for (const callback of [...callbacks]) callback();
  }
}

/** Another instance with the same content. */
export function copied(message: Message): Message {
  const { content } = message;
  return {
    ...message,
    id: message.id === '' ? randomUUID() : message.id,
    headers: { ...message.headers },
    content: content instanceof Uint8Array ? content.slice() : content,
  };
}

/** What an answer over a network takes: a turn of the event loop. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

export function explain(error: unknown): Fault {
  if (error instanceof Missing) return { kind: 'missing' };
  if (error instanceof Away) return { kind: 'unavailable', reason: error.message };
  throw error;
}

/** Publishing into a store. */
export function storePublishing(store: Store, answer: () => Promise<void> = turn): PublishDriver<Message> {
  return {
    encode: copied,
    bytesOf: () => 1,
    limitsOf: () => ({ maxMessages: 100, maxBytes: 1_000 }),
    async send({ kind, name }: Destination, batch: readonly Outgoing<Message>[]) {
      await answer();
      const bindings = store.topics.get(name);
      if (kind === 'topic' && bindings === undefined) throw new Missing(`no topic "${name}"`);
      for (const { encoded, delayMs } of batch) {
        if (kind === 'queue') store.put(name, encoded, delayMs);
        else
          for (const [queue, filter] of bindings ?? [])
            if (filter === undefined || filter.has(encoded.manifest ?? ''))
              store.put(queue, copied(encoded), 0);
      }
      return undefined;
    },
  };
}

/** Topology of a store. */
export function storeTopology(
  store: Store,
  { logger }: DriverContext,
  answer: () => Promise<void> = turn,
): TopologyDriver<QueueOptions> {
  const topicOf = (name: string): Map<string, Set<string> | undefined> => {
    const bindings = store.topics.get(name) ?? new Map<string, Set<string> | undefined>();
    store.topics.set(name, bindings);
    return bindings;
  };
  const make = (name: string, deadLetterQueue: string | undefined): void => {
    if (!store.queues.has(name)) store.queues.set(name, { rows: [], deadLetterQueue, wake: new Set() });
  };
  return {
    async declareTopic(name) {
      await answer();
      topicOf(name);
    },
    async declareQueue(
      name,
      { topics: wanted = [], filter, deadLetterQueue, removeTopics = [], replaceFilter = false },
    ) {
      await answer();
      const existing = store.queues.get(name);
      if (existing !== undefined && existing.deadLetterQueue !== deadLetterQueue)
        throw new TopologyConflictError(`Queue "${name}" exists with another dead-letter queue.`);
      if (deadLetterQueue !== undefined) make(deadLetterQueue, undefined);
      make(name, deadLetterQueue);
      for (const topic of wanted) {
        const bindings = topicOf(topic);
        const known = bindings.get(name);
        if (replaceFilter || !bindings.has(name))
          bindings.set(name, filter === undefined ? undefined : new Set(filter));
        else if (filter === undefined) bindings.set(name, undefined);
        else {
          for (const manifest of filter) known?.add(manifest);
          const stay =
            known === undefined ? 'all' : [...known].filter((one) => !filter.includes(one)).join(', ');
          if (stay !== '')
            logger.warn(
              `queue "${name}" goes on to receive ${stay}: pass replaceFilter to narrow its filter`,
            );
        }
      }
      for (const topic of removeTopics) store.topics.get(topic)?.delete(name);
    },
    async describeQueue(name) {
      await answer();
      const queue = store.queues.get(name);
      if (queue === undefined) return { exists: false, depth: 0, deadLetterQueue: undefined };
      const now = store.clock.monotonicNow();
      const bound = [...store.topics].filter(([, bindings]) => bindings.has(name));
      const filters = bound.map(([, bindings]) => bindings.get(name));
      const filter =
        filters.includes(undefined) || filters.length === 0
          ? undefined
          : [...new Set(filters.flatMap((one) => [...(one ?? [])]))].sort();
      return {
        exists: true,
        depth: queue.rows.filter(({ visibleAt }) => visibleAt <= now).length,
        inFlight: queue.rows.filter(({ visibleAt, isTaken }) => visibleAt > now && isTaken).length,
        deadLetterQueue: queue.deadLetterQueue,
        topics: bound.map(([topic]) => topic).sort(),
        filter,
      };
    },
    async deleteQueue(name) {
      await answer();
      const wakes = store.queues.get(name)?.wake ?? [];
      store.queues.delete(name);
      for (const wake of wakes) wake();
      for (const bindings of store.topics.values()) bindings.delete(name);
    },
    async deleteTopic(name) {
      await answer();
      store.topics.delete(name);
    },
  };
}
