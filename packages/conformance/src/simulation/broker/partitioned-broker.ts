import { type BackendClass, type Driver, defineBackend, type PublishDriver } from '@melange/backend-kit';
import type { Message, QueueOptions } from '@melange/core';
import { queue as consumedQueue, topic } from './names.ts';
import { keyPartitions } from './partition-log.ts';
import { type LoggedDelivery, PartitionedIntake } from './partitioned-intake.ts';
import type { PartitionedBroker } from './partitioned-settings.ts';
import { explain, simulatedCapabilities } from './simulated-broker.ts';
import { batchLimits } from './topology.ts';

/** What a broker of the partitioned family can do. */
export const partitionedCapabilities: typeof simulatedCapabilities & { readonly orderingByKey: true } = {
  ...simulatedCapabilities,
  orderingByKey: true,
  tellsRedeliveries: false,
  exactDepth: false,
};

/** A backend whose broker keeps messages in partitions and is told how far a group has come, as Kafka does. */
export const PartitionedBackend: BackendClass<PartitionedBroker, typeof partitionedCapabilities> =
  defineBackend({
    name: 'partitioned',
    capabilities: partitionedCapabilities,
    driver: partitionedDriver,
  });

function partitionedDriver(broker: PartitionedBroker): Driver<QueueOptions, Message, LoggedDelivery> {
  const { log, network, deadLetterQueue } = broker;
  const intakes = new Set<PartitionedIntake>();
  broker.onConnections({
    cut() {
      for (const intake of intakes) intake.lose('cut');
      intakes.clear();
    },
  });
  return {
    names: { maxBytes: 200 },
    topology: {
      declareTopic: async () => undefined,
      declareQueue: () => network.ask(() => undefined),
      describeQueue: (name) =>
        network.ask(() =>
          name === consumedQueue
            ? { exists: true, depth: log.depth, deadLetterQueue }
            : { exists: true, depth: log.idsIn(name).size, deadLetterQueue: undefined },
        ),
      deleteQueue: async () => undefined,
      deleteTopic: async () => undefined,
    },
    publishing: publishingTo(broker),
    consuming: {
      kind: 'push',
      async open(subscription, intake) {
        const id = await network.ask(() => broker.group.join(network.process));
        const opened = new PartitionedIntake(broker, id, subscription, intake);
        intakes.add(opened);
        return opened;
      },
    },
    explain,
    async close() {
      await Promise.all([...intakes].map((intake) => intake.close()));
    },
  };
}

/** Each partition gets its batches by itself, and the same key always goes to the same partition. */
function publishingTo({ log, network }: PartitionedBroker): PublishDriver<Message> {
  const known = new Set<string>();
  let next = 0;
  return {
    encode: (message) => message,
    bytesOf: () => 1,
    limitsOf: () => batchLimits,
    lanes: {
      isKnown: ({ name }) => known.has(name),
      find: ({ name }) => network.ask(() => void known.add(name)),
      laneOf(_, { key }) {
        if (key !== undefined) return key.charCodeAt(key.length - 1) % keyPartitions;
        next += 1;
        return next % keyPartitions;
      },
    },
    send: ({ kind, name, lane = 0 }, batch) =>
      network.ask(() => {
        for (const { encoded } of batch) log.publish(kind === 'topic' ? topic : name, encoded, lane);
        return undefined;
      }),
  };
}
