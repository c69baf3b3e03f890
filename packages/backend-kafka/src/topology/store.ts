import type { Logger } from '@melange/core';
import type { KafkaClient } from '../client/index.ts';
import type { OutgoingRecord } from '../wire/message.ts';

/** What a queue wants of a topic. */
export interface Binding {
  /** Manifests, or `null` for all. */
  readonly filter: readonly string[] | null;
  /** Offsets by partition at the time of the binding: what was there before is not for this queue. */
  readonly from: Readonly<Record<string, number>>;
}

/** What a store works with. */
export interface StoreContext {
  /** Copies of its topic. */
  readonly replicas: () => Promise<number>;
  /** Publishes a record to a topic; resolves when all in-sync replicas have it. */
  readonly publish: (topic: string, record: OutgoingRecord) => Promise<void>;
  readonly logger: Logger;
}

/** Which queue is bound to which topic and has which dead-letter queue, in a compacted topic that every process reads. */
export class TopologyStore {
  readonly #client: KafkaClient;
  readonly #topic: string;
  readonly #context: StoreContext;
  readonly #deadLetterQueues = new Map<string, string | null>();
  readonly #bindings = new Map<string, Map<string, Binding>>();
  #position = 0;
  #storeExists = false;
  #refreshing: Promise<void> | undefined;

  constructor(client: KafkaClient, topic: string, context: StoreContext) {
    this.#client = client;
    this.#topic = topic;
    this.#context = context;
  }

  /** By queue; `null` for one that was declared without. */
  get deadLetterQueues(): ReadonlyMap<string, string | null> {
    return this.#deadLetterQueues;
  }

  /** By queue and topic. */
  get bindings(): ReadonlyMap<string, ReadonlyMap<string, Binding>> {
    return this.#bindings;
  }

  /** Reads what was written since the last look. Concurrent looks share one. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#readOn().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  async #readOn(): Promise<void> {
    if (!this.#storeExists) {
      if ((await this.#client.leadersOf(this.#topic)) === undefined) return;
      this.#storeExists = true;
    }
    for (;;) {
      const records = await this.#client.read(this.#topic, this.#position);
      const last = records.at(-1);
      if (last === undefined) return;
      for (const { key, value } of records) this.#learn(key?.toString() ?? '', value?.toString() ?? null);
      this.#position = last.offset + 1;
    }
  }

  #learn(key: string, value: string | null): void {
    try {
      const [kind, queue, topic] = JSON.parse(key) as [string, string, string | undefined];
      const fact = value === null ? null : JSON.parse(value);
      if (kind === 'queue' && fact === null) this.#deadLetterQueues.delete(queue);
      else if (kind === 'queue') this.#deadLetterQueues.set(queue, fact.deadLetterQueue);
      else if (kind === 'binding' && topic !== undefined) {
        const bindings = this.#bindings.get(queue) ?? new Map<string, Binding>();
        this.#bindings.set(queue, bindings);
        if (fact === null) bindings.delete(topic);
        else bindings.set(topic, fact);
        if (bindings.size === 0) this.#bindings.delete(queue);
      }
    } catch (error) {
      this.#context.logger.warn('The topology topic holds what is not ours; it is passed over', {
        key,
        error,
      });
    }
  }

  /** Resolves when the facts are in the topic, and known here. `null` removes one. */
  async write(facts: readonly (readonly [string, unknown])[]): Promise<void> {
    if (facts.length === 0) return;
    if (!this.#storeExists && (await this.#client.leadersOf(this.#topic)) === undefined) {
      const config = { 'cleanup.policy': 'compact' };
      await this.#client.createTopic(this.#topic, 1, await this.#context.replicas(), config);
    }
    const records = facts.map(([key, fact]) => ({
      key: Buffer.from(key),
      value: fact === null ? null : Buffer.from(JSON.stringify(fact)),
      headers: {},
    }));
    await Promise.all(records.map((record) => this.#context.publish(this.#topic, record)));
    await this.#refreshing;
    await this.refresh();
  }
}

/** Names the fact of a queue's dead-letter queue. */
export function queueKey(queue: string): string {
  return JSON.stringify(['queue', queue]);
}

/** Names the fact of a binding. */
export function bindingKey(queue: string, topic: string): string {
  return JSON.stringify(['binding', queue, topic]);
}
