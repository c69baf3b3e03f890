import { type Logger, type QueueDescription, QueueNotFoundError, TopologyConflictError } from '@melange/core';
import type { Commit, KafkaClient } from '../client/index.ts';
import type { KafkaQueueOptions } from '../options.ts';
import { finishedBeyond } from '../wire/finished-offsets.ts';
import { type IncomingRecord, manifestOf } from '../wire/message.ts';
import { type Binding, bindingKey, queueKey, type TopologyStore } from './store.ts';
import type { Topics } from './topics.ts';

/** A queue as it is carried by topics. */
export interface QueueLayout {
  readonly deadLetterQueue: string | undefined;
  readonly bindings: ReadonlyMap<string, Binding>;
  /** Topics that its group reads: its own, its retry topic, and those that it is bound to. */
  readonly topics: readonly string[];
}

/** Topic that holds the retries of a queue. */
export function retryTopicOf(queue: string): string {
  return `${queue}.retry`;
}

/** Whether a record of one of the topics that a group reads is for its queue. */
export function isWanted({ bindings }: QueueLayout, queue: string, record: IncomingRecord): boolean {
  const { topic, partition, offset } = record;
  const binding = bindings.get(topic);
  if (binding === undefined) return topic === queue || topic === retryTopicOf(queue);
  if (offset < (binding.from[partition] ?? 0)) return false;
  return binding.filter === null || binding.filter.includes(manifestOf(record));
}

/** Queues and their bindings. Kafka knows topics only: the rest is in the store. */
export class Topology {
  readonly #client: KafkaClient;
  readonly #topics: Topics;
  readonly #store: TopologyStore;
  readonly #logger: Logger;
  /** Declarations one after the other: each one reads, compares and writes. */
  #declaring: Promise<unknown> = Promise.resolve();

  constructor(client: KafkaClient, topics: Topics, store: TopologyStore, logger: Logger) {
    this.#client = client;
    this.#topics = topics;
    this.#store = store;
    this.#logger = logger;
  }

  async declareTopic(name: string): Promise<void> {
    await this.#topics.make(name, {});
  }

  /** Resolves with whether the queue reads other topics than before, or others of their records. */
  declareQueue(name: string, options: KafkaQueueOptions): Promise<boolean> {
    const declaring = this.#declaring.then(() => this.#declareQueue(name, options));
    this.#declaring = declaring.catch(() => undefined);
    return declaring;
  }

  /** @throws QueueNotFoundError. */
  async layoutOf(queue: string): Promise<QueueLayout> {
    const [leaders] = await Promise.all([this.#client.leadersOf(queue), this.#store.refresh()]);
    if (leaders === undefined) throw new QueueNotFoundError(queue);
    // Made by somebody else, the queue may lack the topic of its retries.
    this.#topics.forget(retryTopicOf(queue));
    await this.#topics.make(retryTopicOf(queue), { partitions: leaders.length });
    const layout = this.#layout(queue);
    const topics: string[] = [];
    for (const topic of layout.topics) {
      if ((await this.#client.leadersOf(topic)) !== undefined) topics.push(topic);
      else this.#logger.warn('A topic that a queue is bound to does not exist', { queue, topic });
    }
    return { ...layout, topics };
  }

  async describeQueue(name: string): Promise<QueueDescription> {
    const [leaders] = await Promise.all([this.#client.leadersOf(name), this.#store.refresh()]);
    if (leaders === undefined) return { exists: false, depth: 0, deadLetterQueue: undefined };
    const layout = this.#layout(name);
    return {
      exists: true,
      depth: await this.#depthOf(name, layout),
      deadLetterQueue: layout.deadLetterQueue,
      topics: [...layout.bindings.keys()].sort(),
      filter: filterOfAll([...layout.bindings.values()]),
    };
  }

  async deleteQueue(name: string): Promise<void> {
    await this.#store.refresh();
    await this.#client.deleteTopic(name);
    await this.#client.deleteTopic(retryTopicOf(name));
    this.#topics.forget(name);
    this.#topics.forget(retryTopicOf(name));
    await this.#client.deleteGroup(name);
    const bound = [...(this.#store.bindings.get(name)?.keys() ?? [])];
    const keys = bound.map((topic) => bindingKey(name, topic));
    if (this.#store.deadLetterQueues.has(name)) keys.push(queueKey(name));
    await this.#store.write(keys.map((key) => [key, null]));
  }

  async deleteTopic(name: string): Promise<void> {
    await this.#store.refresh();
    await this.#client.deleteTopic(name);
    this.#topics.forget(name);
    const queues = [...this.#store.bindings]
      .filter(([, bindings]) => bindings.has(name))
      .map(([queue]) => queue);
    await this.#store.write(queues.map((queue) => [bindingKey(queue, name), null]));
  }

  async #declareQueue(name: string, options: KafkaQueueOptions): Promise<boolean> {
    const { topics = [], filter, removeTopics = [], deadLetterQueue } = options;
    const [existing] = await Promise.all([this.#client.leadersOf(name), this.#store.refresh()]);
    const { deadLetterQueue: declared, bindings } = this.#layout(name);
    if (existing !== undefined && declared !== deadLetterQueue && this.#store.deadLetterQueues.has(name)) {
      throw new TopologyConflictError(
        `Queue "${name}" exists with the dead-letter queue ${declared ?? '(none)'}, not ${deadLetterQueue ?? '(none)'}.`,
      );
    }
    if (deadLetterQueue !== undefined) await this.#topics.make(deadLetterQueue, options);
    await this.#topics.make(name, options);
    await this.#topics.make(retryTopicOf(name), {
      ...options,
      partitions: existing?.length ?? options.partitions,
    });
    const facts: [string, unknown][] = [];
    if (!this.#store.deadLetterQueues.has(name))
      facts.push([queueKey(name), { deadLetterQueue: deadLetterQueue ?? null }]);
    const staying = new Set<string>();
    for (const topic of topics) {
      const before = bindings.get(topic);
      const wanted = filterOf(before, options);
      for (const manifest of beyond(wanted, filter)) staying.add(manifest);
      if (before !== undefined && isSame(before.filter, wanted)) continue;
      const from = before?.from ?? (await this.#endOf(topic));
      facts.push([bindingKey(name, topic), { filter: wanted, from }]);
    }
    for (const topic of removeTopics) if (bindings.has(topic)) facts.push([bindingKey(name, topic), null]);
    if (staying.size > 0)
      this.#logger.warn('a queue keeps receiving manifests that its declaration does not list', {
        queue: name,
        manifests: [...staying].sort(),
        advice: 'declare it with replaceFilter: true to receive only those that are listed',
      });
    await this.#store.write(facts);
    return facts.some(([key]) => key !== queueKey(name));
  }

  /** What is in a topic already is not for a queue that is bound to it now. */
  async #endOf(topic: string): Promise<Readonly<Record<string, number>>> {
    await this.#topics.make(topic, {});
    const ranges = (await this.#client.rangesOf(topic)) ?? new Map();
    return Object.fromEntries([...ranges].map(([partition, { high }]) => [partition, high]));
  }

  #layout(queue: string): QueueLayout {
    const bindings = this.#store.bindings.get(queue) ?? new Map();
    return {
      deadLetterQueue: this.#store.deadLetterQueues.get(queue) ?? undefined,
      bindings,
      topics: [queue, retryTopicOf(queue), ...bindings.keys()],
    };
  }

  async #depthOf(queue: string, { topics, bindings }: QueueLayout): Promise<number> {
    const committed = new Map<string, Commit>();
    const existing: [string, number, number, number][] = [];
    const readable: string[] = [];
    for (const topic of topics) {
      const ranges = await this.#client.rangesOf(topic);
      if (ranges === undefined) continue;
      readable.push(topic);
      for (const [partition, { low, high }] of ranges) existing.push([topic, partition, low, high]);
    }
    for (const commit of await this.#client.committedBy(queue, readable))
      committed.set(`${commit.topic}/${commit.partition}`, commit);
    let depth = 0;
    for (const [topic, partition, low, high] of existing) {
      const commit = committed.get(`${topic}/${partition}`);
      const from = Math.max(low, commit?.offset ?? -1, bindings.get(topic)?.from[partition] ?? 0);
      const finished = [...finishedBeyond(commit?.metadata ?? '', commit?.offset ?? 0)];
      const done = finished.filter((offset) => offset >= from).length;
      depth += Math.max(0, high - from - done);
    }
    return depth;
  }
}

/** What a declaration makes of a binding's filter: `null` for all manifests. */
function filterOf(
  before: Binding | undefined,
  { filter, replaceFilter = false }: KafkaQueueOptions,
): Binding['filter'] {
  if (before === undefined || replaceFilter) return filter === undefined ? null : [...new Set(filter)];
  if (filter === undefined || before.filter === null) return null;
  return [...new Set([...before.filter, ...filter])];
}

/** Manifests that are received and were not asked for. */
function beyond(wanted: Binding['filter'], declared: readonly string[] | undefined): readonly string[] {
  if (declared === undefined) return [];
  if (wanted === null) return ['all others'];
  return wanted.filter((manifest) => !declared.includes(manifest));
}

function isSame(left: Binding['filter'], right: Binding['filter']): boolean {
  if (left === null || right === null) return left === right;
  return left.length === right.length && left.every((manifest) => right.includes(manifest));
}

function filterOfAll(bindings: readonly Binding[]): readonly string[] | undefined {
  if (bindings.length === 0 || bindings.some(({ filter }) => filter === null)) return undefined;
  return [...new Set(bindings.flatMap(({ filter }) => filter ?? []))].sort();
}
