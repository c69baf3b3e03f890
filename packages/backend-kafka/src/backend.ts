import {
  type BackendClass,
  type DriverContext,
  defineBackend,
  type TopologyDriver,
} from '@melange/backend-kit';
import { MelangeError, type ReplayPosition } from '@melange/core';
import { checkWholeNumber } from '@melange/core/adapter';
import { kafkaCapabilities } from './capabilities.ts';
import { addressText, parseAddress } from './client/address.ts';
import type { KafkaClient, MakeKafkaClient } from './client/index.ts';
import { KafkajsClient } from './client/kafkajs/client.ts';
import { Consuming } from './consume/consuming.ts';
import { explain } from './errors.ts';
import {
  type KafkaBackendOptions,
  type KafkaQueueOptions,
  type KafkaSettings,
  settingsOf,
} from './options.ts';
import { Publishing, publishableCopy } from './publish.ts';
import { commitsToRewind } from './topology/rewind.ts';
import { TopologyStore } from './topology/store.ts';
import { Topics } from './topology/topics.ts';
import { retryTopicOf, Topology } from './topology/topology.ts';
import type { OutgoingRecord } from './wire/message.ts';

/** What `KafkaBackend` can do besides `MessagingBackend`: see `ReplayableBackend`. */
export interface KafkaMethods {
  /** As `ReplayableBackend.rewindQueue`. */
  rewindQueue(queue: string, position: ReplayPosition): Promise<void>;
}

/** A class of backends for Apache Kafka. */
export type KafkaBackendClass = BackendClass<
  KafkaBackendOptions,
  typeof kafkaCapabilities,
  KafkaQueueOptions,
  KafkaMethods
>;

/** Kafka's own rules; `.` and `..` are no names. */
const names = { maxBytes: 249, allowed: /^(?!\.{1,2}$)[a-zA-Z0-9._-]+$/ };

/**
 * Makes a backend for Apache Kafka on another client than kafkajs.
 *
 * @param makeClient called once for each backend.
 */
export function kafkaBackendOn(makeClient: MakeKafkaClient): KafkaBackendClass {
  return defineBackend({
    name: 'kafka',
    capabilities: kafkaCapabilities,
    requestTimeoutMs: 12_000,
    driver(options: KafkaBackendOptions, context: DriverContext) {
      const settings = settingsOf(options);
      return { ...parts(settings, makeClient, context), settings };
    },
    methods: ({ client, topology, consuming }, backend) => ({
      async rewindQueue(queue: string, position: ReplayPosition): Promise<void> {
        // Refuses a closed backend.
        await backend.describeQueue(queue);
        const consumer = consuming.consumerOf(queue);
        await consumer?.closing;
        const layout = await topology.layouts.layoutOf(queue);
        if (consumer === undefined || consumer.closing !== undefined) {
          const commits = await commitsToRewind(client, queue, layout, position);
          if (commits.length === 0 || (await client.commitFor(queue, commits))) return;
        }
        throw new MelangeError(
          'QUEUE_IN_USE',
          `Queue "${queue}" is subscribed to: close its subscriptions, wait a session timeout for processes that died, and rewind it then.`,
        );
      },
    }),
  });
}

function parts(settings: KafkaSettings, makeClient: MakeKafkaClient, context: DriverContext) {
  const { logger, troubles } = context;
  const slow = new Set<string>();
  const client = makeClient(settings, {
    logger,
    onSlow(reason) {
      slow.add(reason);
      troubles.begin('using the Kafka client at its full speed', [...slow].join('; '), true);
    },
  });
  const publish = (topic: string, record: OutgoingRecord, spread: number, mayCompress: boolean) =>
    context.publish({ kind: 'queue', name: topic }, topic, publishableCopy(record, spread, mayCompress));
  const topics = new Topics(client, settings);
  const store = new TopologyStore(client, settings.topologyTopic, {
    replicas: () => topics.replicas(),
    publish: (topic, record) => publish(topic, record, 0, false),
    logger,
  });
  const layouts = new Topology(client, topics, store, logger);
  const consuming = new Consuming({
    ...{ client, topology: layouts, settings, logger, troubles },
    publishCopy: (topic, copy, { partition }, mayCompress) => publish(topic, copy, partition, mayCompress),
  });
  return {
    client,
    address: settings.brokers.map((broker) => addressText(parseAddress(broker))).join(', '),
    names: { ...names, longestSuffix: retryTopicOf('') },
    topicNames: names,
    topology: topologyDriver(layouts, consuming),
    publishing: new Publishing(client, topics),
    consuming,
    explain,
    async close(): Promise<void> {
      await consuming.close();
      await client.close();
    },
  };
}

/** Consumers in this process hear at once of what is declared and deleted here. */
function topologyDriver(
  layouts: Topology,
  consuming: Consuming,
): TopologyDriver<KafkaQueueOptions> & { readonly layouts: Topology } {
  return {
    layouts,
    declareTopic: (name) => layouts.declareTopic(name),
    async declareQueue(name, options) {
      if (options.partitions !== undefined) checkWholeNumber('partitions', options.partitions, 1);
      const isChanged = await layouts.declareQueue(name, options);
      const consumer = consuming.consumerOf(name);
      if (isChanged || consumer?.isGone === true) await consumer?.reread();
    },
    async describeQueue(name) {
      const consumer = consuming.consumerOf(name);
      await consumer?.flush();
      const description = await layouts.describeQueue(name);
      return { ...description, depth: Math.max(0, description.depth - (consumer?.unsettled ?? 0)) };
    },
    async deleteQueue(name) {
      const consumer = consuming.consumerOf(name);
      const deletion = () => layouts.deleteQueue(name);
      await (consumer === undefined || consumer.closing !== undefined
        ? deletion()
        : consumer.whileGone(deletion));
    },
    async deleteTopic(name) {
      await layouts.deleteTopic(name);
      await Promise.all(consuming.consumers.map((consumer) => consumer.reread()));
    },
  };
}

/** Apache Kafka 3.9 and 4.x, through kafkajs. Connects on first use. @throws MelangeError `CONFIGURATION` when an option makes no sense. */
export const KafkaBackend: KafkaBackendClass = kafkaBackendOn(
  (settings, watch): KafkaClient => new KafkajsClient(settings, watch),
);
/** An instance of `KafkaBackend`. */
export type KafkaBackend = InstanceType<KafkaBackendClass>;
