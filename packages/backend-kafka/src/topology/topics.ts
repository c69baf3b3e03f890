import type { KafkaClient } from '../client/index.ts';
import type { KafkaQueueOptions, KafkaSettings } from '../options.ts';

/** How a topic is made. */
export type TopicOptions = {
  readonly [Name in keyof Pick<KafkaQueueOptions, 'partitions' | 'replicationFactor' | 'topicSettings'>]:
    | KafkaQueueOptions[Name]
    | undefined;
};

interface KnownTopic {
  partitions: number;
  /** When its partitions were asked for, in ms of `performance.now()`. */
  askedAt: number;
}

/** Which topics exist, and how many partitions they have, as far as the brokers were asked. */
export class Topics {
  readonly #client: KafkaClient;
  readonly #settings: KafkaSettings;
  readonly #known = new Map<string, KnownTopic>();

  constructor(client: KafkaClient, settings: KafkaSettings) {
    this.#client = client;
    this.#settings = settings;
  }

  /** Partitions of a topic that is known to exist, without asking; of an old answer it asks again in the background. */
  partitionsOf(topic: string): number | undefined {
    const known = this.#known.get(topic);
    if (known === undefined) return undefined;
    if (performance.now() - known.askedAt > this.#settings.metadataMaxAgeMs) {
      known.askedAt = performance.now();
      this.#client.leadersOf(topic).then(
        (leaders) => {
          known.partitions = leaders?.length ?? known.partitions;
        },
        // It is asked again after a while.
        () => undefined,
      );
    }
    return known.partitions;
  }

  /** Partitions of a topic; `undefined` where there is none. */
  async find(topic: string): Promise<number | undefined> {
    const partitions = (await this.#client.leadersOf(topic))?.length;
    if (partitions === undefined) this.#known.delete(topic);
    else this.#known.set(topic, { partitions, askedAt: performance.now() });
    return partitions;
  }

  /** It was deleted, perhaps by somebody else. */
  forget(topic: string): void {
    this.#known.delete(topic);
  }

  /** Does nothing where it is known to exist. */
  async make(topic: string, options: TopicOptions): Promise<void> {
    if (this.#known.has(topic) || (await this.find(topic)) !== undefined) return;
    const partitions = options.partitions ?? this.#settings.partitions;
    const replicas = await this.replicas(options.replicationFactor);
    await this.#client.createTopic(topic, partitions, replicas, {
      // One replica alone could still be lost with all that it has confirmed.
      ...(replicas > 2 && { 'min.insync.replicas': '2' }),
      ...this.#settings.topicSettings,
      ...options.topicSettings,
    });
    this.#known.set(topic, { partitions, askedAt: performance.now() });
  }

  /** Copies of a topic that is to be made. */
  async replicas(wanted?: number): Promise<number> {
    return wanted ?? this.#settings.replicationFactor ?? Math.min(3, await this.#client.brokerCount());
  }
}
