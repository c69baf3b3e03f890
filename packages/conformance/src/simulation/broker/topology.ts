import type { PublishDriver, TopologyDriver } from '@melange/backend-kit';
import type { Message, QueueOptions } from '@melange/core';
import { queue as consumedQueue, topic } from './names.ts';
import type { SimulatedBroker } from './simulated-broker.ts';

/** Bounds of batches: small, so that many messages take several. */
export const batchLimits: { readonly maxMessages: number; readonly maxBytes: number } = {
  maxMessages: 10,
  maxBytes: 1_000,
};

/** Queues are there from the beginning; they can be asked about. */
export function topologyOf({
  store,
  network,
  deadLetterQueue,
}: SimulatedBroker): TopologyDriver<QueueOptions> {
  return {
    declareTopic: async () => undefined,
    declareQueue: (name) => network.ask(() => void store.rows(name)),
    describeQueue: (name) =>
      network.ask(() => ({
        exists: true,
        depth: store.rows(name).length,
        deadLetterQueue: name === consumedQueue ? deadLetterQueue : undefined,
      })),
    deleteQueue: async () => undefined,
    deleteTopic: async () => undefined,
  };
}

/** Publishing in batches that are answered as a whole, or message by message. */
export function publishingTo({ store, network }: SimulatedBroker): PublishDriver<Message> {
  return {
    encode: (message) => message,
    bytesOf: () => 1,
    limitsOf: () => batchLimits,
    send: ({ kind, name }, batch) =>
      network.ask(() => {
        const errors = batch.map(({ encoded, delayMs }) => {
          try {
            store.publish(kind === 'topic' ? topic : name, encoded, delayMs);
            return undefined;
          } catch (error) {
            return error;
          }
        });
        return errors.some((error) => error !== undefined) ? errors : undefined;
      }),
  };
}
