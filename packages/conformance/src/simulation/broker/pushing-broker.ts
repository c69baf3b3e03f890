import { type BackendClass, type Driver, type DriverContext, defineBackend } from '@melange/backend-kit';
import type { Message, QueueOptions } from '@melange/core';
import { type PushedRow, PushingChannel } from './pushing-channel.ts';
import { explain, type SimulatedBroker, simulatedCapabilities } from './simulated-broker.ts';
import { publishingTo, topologyOf } from './topology.ts';

/** How a process is reached, so that the world can cut its connections. */
export interface Connections {
  /** Ends the connections that are open. */
  cut(): void;
}

/** Where the backend of a pushing broker finds it. */
export interface PushingBroker extends SimulatedBroker {
  /** Gets the way to cut the connections of this backend. */
  readonly onConnections: (connections: Connections) => void;
}

/** What a broker of the pushing family can do. */
export const pushingCapabilities: typeof simulatedCapabilities = {
  ...simulatedCapabilities,
  deliveriesOutliveConnections: false,
};

/** A backend whose broker sends messages by itself and takes them back when the connection is lost, as RabbitMQ does. */
export const PushingBackend: BackendClass<PushingBroker, typeof pushingCapabilities> = defineBackend({
  name: 'pushing',
  capabilities: pushingCapabilities,
  driver: pushingDriver,
});

function pushingDriver(
  broker: PushingBroker,
  context: DriverContext,
): Driver<QueueOptions, Message, PushedRow> {
  const { store, network } = broker;
  const channels = new Set<PushingChannel>();
  broker.onConnections({
    cut() {
      for (const channel of channels) channel.lose('cut');
      channels.clear();
      network.process.schedule(() => context.connectionLost('cut'), 1);
    },
  });
  return {
    names: { maxBytes: 200 },
    connection: {
      address: 'broker:1',
      timeoutMs: 10_000,
      connect: () => network.ask(() => undefined),
    },
    topology: topologyOf(broker),
    publishing: publishingTo(broker),
    consuming: {
      kind: 'push',
      async open(subscription, intake) {
        await network.ask(() => store.rows(subscription.queue));
        const channel = new PushingChannel(broker, subscription, intake);
        channels.add(channel);
        return channel;
      },
    },
    explain,
    async close() {
      await Promise.all([...channels].map((channel) => channel.close()));
    },
  };
}
