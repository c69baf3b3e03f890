import { type Backend, type BackendClass, type DriverContext, defineBackend } from '@melange/backend-kit';
import { rabbitMqCapabilities } from './capabilities.ts';
import { AmqpConnection } from './client/connection.ts';
import { Consuming } from './consume/consuming.ts';
import { explain } from './errors.ts';
import { type RabbitMqBackendOptions, type RabbitMqQueueOptions, settingsOf } from './options.ts';
import { Publishing } from './publish/publishing.ts';
import { Sender } from './publish/sender.ts';
import { Channels } from './topology/channels.ts';
import { DelayQueues } from './topology/delay-queues.ts';
import { queueNames, topicNames } from './topology/names.ts';
import { Topology } from './topology/topology.ts';
import { DeliveryFrames } from './wire/delivery-frames.ts';
import type { Received } from './wire/received-message.ts';

/**
 * RabbitMQ 3.10 and later, through amqplib. Connects on first use: one connection to publish, one for everything else.
 *
 * @throws MelangeError `CONFIGURATION` for an address that is none, and for numbers that make no sense.
 */
export const RabbitMqBackend: BackendClass<
  RabbitMqBackendOptions,
  typeof rabbitMqCapabilities,
  RabbitMqQueueOptions
> = defineBackend({
  name: 'rabbitmq',
  capabilities: rabbitMqCapabilities,
  driver(options: RabbitMqBackendOptions, context: DriverContext) {
    const settings = settingsOf(options);
    const connection = new AmqpConnection<Received>(settings, context, {
      newReader: () => new DeliveryFrames(),
    });
    const flush = (): void => sender.flush();
    const sending = new AmqpConnection<never>(settings, context, { onConnected: flush, onUnblocked: flush });
    const sender = new Sender(sending, context);
    const channels = new Channels(connection);
    const delayQueues = new DelayQueues(channels, context.clock);
    const { defaultQueueType: defaultType } = settings;
    const topology = new Topology({ channels, delayQueues, defaultType, context });
    return {
      names: queueNames,
      topicNames,
      connection,
      topology,
      publishing: new Publishing({
        connection: sending,
        sender,
        channels,
        topology,
        delayQueues,
        context,
      }),
      consuming: new Consuming({ connection, channels, topology, context }),
      explain,
      async close(): Promise<void> {
        await Promise.all([connection.close(), sending.close()]);
      },
    };
  },
});
/** An instance of `RabbitMqBackend`. */
export type RabbitMqBackend = Backend<typeof rabbitMqCapabilities, RabbitMqQueueOptions>;
