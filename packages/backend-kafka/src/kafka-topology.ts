import {
  type Logger,
  MelangeError,
  type QueueDescription,
  QueueNotFoundError,
  TopicNotFoundError,
  TopologyConflictError,
} from '@melange/core';
import { finishedBeyond } from './finished-offsets.ts';
import type { Commit, KafkaClient } from './kafka-client/index.ts';
import type { OutgoingRecord } from './kafka-message-mapper.ts';
import type { KafkaBackendOptions, KafkaQueueOptions, KafkaSettings } from './kafka-options.ts';

/** What a queue wants of a topic. */
export interface Binding {
  /** Manifests, or `null` for all. */
  readonly filter: readonly string[] | null;
  /** Offsets by partition at the time of the binding: what was there before is not for this queue. */
  readonly from: Readonly<Record<string, number>>;
}

/** A queue as it is carried by topics. */
export interface QueueLayout {
  readonly deadLetterQueue: string | undefined;
  readonly bindings: ReadonlyMap<string, Binding>;
  /** Topics that its group reads: its own, its retry topic, and those that it is bound to. */
  readonly topics: readonly string[];
}

type Publish = (topic: string, records: readonly OutgoingRecord[]) => Promise<void>;

/** Topic that holds the retries of a queue. */
export function retryTopicOf(queue: string): string {
  return `${queue}.retry`;
}

/**
 * Topics, queues and what belongs together. Kafka knows topics only: dead-letter queues and bindings are kept in a
 * compacted topic, so that every process sees the same.
 */
export class KafkaTopology {
  readonly #client: KafkaClient;
  readonly #settings: KafkaSettings;
  readonly #replicationFactor: number | undefined;
  readonly #publish: Publish;
  readonly #logger: Logger;
  readonly #deadLetterQueues = new Map<string, string | null>();
  readonly #bindings = new Map<string, Map<string, Binding>>();
  readonly #knownTopics = new Set<string>();
  readonly #asking = new Map<string, Promise<boolean>>();
  #position = 0;
  #storeExists = false;
  #refreshing: Promise<void> | undefined;
  /** Declarations one after the other: each one reads, compares and writes. */
  #declaring: Promise<unknown> = Promise.resolve();

  constructor(
    client: KafkaClient,
    options: KafkaBackendOptions,
    settings: KafkaSettings,
    publish: Publish,
    logger: Logger,
  ) {
    this.#client = client;
    this.#settings = settings;
    this.#replicationFactor = options.replicationFactor;
    this.#publish = publish;
    this.#logger = logger;
  }

  async declareTopic(name: string): Promise<void> {
    await this.#make(name, {});
  }

  /** Answers whether the queue reads more topics than before. */
  declareQueue(name: string, options: KafkaQueueOptions): Promise<boolean> {
    const declaring = this.#declaring.then(() => this.#declareQueue(name, options));
    this.#declaring = declaring.catch(() => undefined);
    return declaring;
  }

  /** @throws QueueNotFoundError. */
  async layoutOf(queue: string): Promise<QueueLayout> {
    const [partitions] = await Promise.all([this.#client.partitionsOf(queue), this.#refresh()]);
    if (partitions === undefined) throw new QueueNotFoundError(queue);
    // Made by somebody else, the queue may lack the topic of its retries.
    this.#knownTopics.delete(retryTopicOf(queue));
    await this.#make(retryTopicOf(queue), { partitions });
    const layout = this.#layout(queue);
    const topics: string[] = [];
    for (const topic of layout.topics) {
      if ((await this.#client.partitionsOf(topic)) !== undefined) topics.push(topic);
      else this.#logger.warn('A topic that a queue is bound to does not exist', { queue, topic });
    }
    return { ...layout, topics };
  }

  /** @throws QueueNotFoundError or TopicNotFoundError. */
  async assertExists(name: string, kind: 'queue' | 'topic'): Promise<void> {
    // One question for all who ask at once, so that they go on in their order.
    let asking = this.#asking.get(name);
    if (asking === undefined) {
      asking = this.#ask(name).finally(() => this.#asking.delete(name));
      this.#asking.set(name, asking);
    }
    if (!(await asking)) throw kind === 'queue' ? new QueueNotFoundError(name) : new TopicNotFoundError(name);
  }

  /** It turned out not to be there. */
  forget(name: string): void {
    this.#knownTopics.delete(name);
  }

  async describeQueue(name: string): Promise<QueueDescription> {
    const [partitions] = await Promise.all([this.#client.partitionsOf(name), this.#refresh()]);
    if (partitions === undefined) return { exists: false, depth: 0, deadLetterQueue: undefined };
    const layout = this.#layout(name);
    return {
      exists: true,
      depth: await this.#depthOf(name, layout),
      deadLetterQueue: layout.deadLetterQueue,
    };
  }

  async deleteQueue(name: string): Promise<void> {
    await this.#refresh();
    await this.#client.deleteTopic(name);
    await this.#client.deleteTopic(retryTopicOf(name));
    this.#knownTopics.delete(name);
    this.#knownTopics.delete(retryTopicOf(name));
    await this.#client.deleteGroup(name);
    const bound = [...(this.#bindings.get(name)?.keys() ?? [])];
    const keys = bound.map((topic) => bindingKey(name, topic));
    if (this.#deadLetterQueues.has(name)) keys.push(queueKey(name));
    await this.#write(keys.map((key) => [key, null]));
  }

  async deleteTopic(name: string): Promise<void> {
    await this.#refresh();
    await this.#client.deleteTopic(name);
    this.#knownTopics.delete(name);
    const queues = [...this.#bindings].filter(([, bindings]) => bindings.has(name)).map(([queue]) => queue);
    await this.#write(queues.map((queue) => [bindingKey(queue, name), null]));
  }

  async #ask(name: string): Promise<boolean> {
    if (this.#knownTopics.has(name)) return true;
    if ((await this.#client.partitionsOf(name)) === undefined) return false;
    this.#knownTopics.add(name);
    return true;
  }

  async #declareQueue(name: string, options: KafkaQueueOptions): Promise<boolean> {
    const { topics = [], filter, deadLetterQueue } = options;
    if (deadLetterQueue === name)
      throw new MelangeError('CONFIGURATION', `Queue "${name}" cannot dead-letter to itself.`);
    const [existing] = await Promise.all([this.#client.partitionsOf(name), this.#refresh()]);
    const { deadLetterQueue: declared, bindings } = this.#layout(name);
    if (existing !== undefined && declared !== deadLetterQueue && this.#deadLetterQueues.has(name)) {
      throw new TopologyConflictError(
        `Queue "${name}" exists with the dead-letter queue ${declared ?? '(none)'}, not ${deadLetterQueue ?? '(none)'}.`,
      );
    }
    if (deadLetterQueue !== undefined) await this.#make(deadLetterQueue, options);
    await this.#make(name, options);
    await this.#make(retryTopicOf(name), { ...options, partitions: existing ?? options.partitions });
    const facts: [string, unknown][] = [];
    if (!this.#deadLetterQueues.has(name))
      facts.push([queueKey(name), { deadLetterQueue: deadLetterQueue ?? null }]);
    let reads = false;
    for (const topic of topics) {
      const before = bindings.get(topic);
      if (before === undefined) {
        await this.#make(topic, {});
        const ranges = (await this.#client.rangesOf(topic)) ?? new Map();
        const from = Object.fromEntries([...ranges].map(([partition, { high }]) => [partition, high]));
        facts.push([bindingKey(name, topic), { filter: filter ?? null, from }]);
        reads = true;
      } else if (before.filter !== null) {
        const wanted = filter === undefined ? null : [...new Set([...before.filter, ...filter])];
        if (wanted === null || wanted.length > before.filter.length)
          facts.push([bindingKey(name, topic), { filter: wanted, from: before.from }]);
      }
    }
    await this.#write(facts);
    return reads;
  }

  async #make(
    topic: string,
    options: { readonly partitions?: number | undefined; readonly replicationFactor?: number | undefined },
  ): Promise<void> {
    if (this.#knownTopics.has(topic)) return;
    if ((await this.#client.partitionsOf(topic)) === undefined) {
      const partitions = options.partitions ?? this.#settings.partitions;
      await this.#client.createTopic(topic, partitions, await this.#replicas(options.replicationFactor));
    }
    this.#knownTopics.add(topic);
  }

  async #replicas(wanted: number | undefined): Promise<number> {
    return wanted ?? this.#replicationFactor ?? Math.min(3, await this.#client.brokerCount());
  }

  #layout(queue: string): QueueLayout {
    const bindings = this.#bindings.get(queue) ?? new Map();
    return {
      deadLetterQueue: this.#deadLetterQueues.get(queue) ?? undefined,
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

  /** Reads what was written since the last look. Concurrent looks share one. */
  #refresh(): Promise<void> {
    this.#refreshing ??= this.#readOn().finally(() => {
      this.#refreshing = undefined;
    });
    return this.#refreshing;
  }

  async #readOn(): Promise<void> {
    const { topologyTopic } = this.#settings;
    if (!this.#storeExists) {
      if ((await this.#client.partitionsOf(topologyTopic)) === undefined) return;
      this.#storeExists = true;
    }
    for (;;) {
      const records = await this.#client.read(topologyTopic, this.#position);
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
      this.#logger.warn('The topology topic holds what is not ours; it is passed over', { key, error });
    }
  }

  async #write(facts: readonly (readonly [string, unknown])[]): Promise<void> {
    if (facts.length === 0) return;
    const { topologyTopic } = this.#settings;
    if (!this.#storeExists && (await this.#client.partitionsOf(topologyTopic)) === undefined) {
      const config = { 'cleanup.policy': 'compact' };
      await this.#client.createTopic(topologyTopic, 1, await this.#replicas(undefined), config);
    }
    const records = facts.map(([key, fact]) => ({
      key: Buffer.from(key),
      value: fact === null ? null : Buffer.from(JSON.stringify(fact)),
      headers: {},
    }));
    await this.#publish(topologyTopic, records);
    await this.#refreshing;
    await this.#refresh();
  }
}

function queueKey(queue: string): string {
  return JSON.stringify(['queue', queue]);
}

function bindingKey(queue: string, topic: string): string {
  return JSON.stringify(['binding', queue, topic]);
}
