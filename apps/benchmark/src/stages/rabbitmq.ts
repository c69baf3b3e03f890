import { RabbitMqBackend } from '@melange/backend-rabbitmq';
import { QueuePublisher } from '@melange/core';
import { connect } from 'amqplib';
import { serializersOfOrders } from '../melange.ts';
import { OrderPlaced } from '../order.ts';
import type { Contender, Stage } from '../table.ts';
import { fill, settled } from './fill.ts';

/** What the queues of a table hold before each run. */
export interface RabbitMqFilling {
  /** Messages of a queue, given those that the run will take. Default: just those. */
  readonly depth?: (contender: Contender, taken: number) => number;
  /** Nothing: it is the contestant that publishes. Default: false. */
  readonly isEmpty?: boolean;
}

const publishedAtOnce = 1_000;

/**
 * Quorum queues, Melange's default, for everybody. A contestant whose file is Melange's finds messages as Melange
 * publishes them, any other plain JSON.
 */
export async function rabbitMqStage(address: string, filling: RabbitMqFilling = {}): Promise<Stage> {
  const connection = await connect(address);
  const channel = await connection.createConfirmChannel();
  const backend = new RabbitMqBackend({ url: address });
  const publisher = new QueuePublisher({ backend, serializers: serializersOfOrders() });
  const queues = new Set<string>();
  const depthOf = async (queue: string): Promise<number> => {
    const { messageCount } = await channel.checkQueue(queue);
    return messageCount;
  };
  return {
    async before({ file, ...contender }, { queue, warmUp, messages, parameters }) {
      await channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } });
      queues.add(queue);
      if (filling.isEmpty === true) return;
      const taken = warmUp + messages;
      const wanted = filling.depth?.({ file, ...contender }, taken) ?? taken;
      const missing = wanted - (await depthOf(queue));
      const order = (index: number): OrderPlaced => new OrderPlaced(index, parameters.noteBytes);
      await fill(missing, publishedAtOnce, async (indexes) => {
        if (file.endsWith('-melange')) {
          await publisher.publishBatch(
            queue,
            indexes.map((index) => ({ value: order(index) })),
          );
          return;
        }
        for (const index of indexes) {
          const content = Buffer.from(JSON.stringify(order(index)));
          channel.sendToQueue(queue, content, { persistent: true, contentType: 'application/json' });
        }
        await channel.waitForConfirms();
      });
    },
    async after(contender, { queue, warmUp, messages, inFlight }) {
      // With more in the queue, what was prefetched beyond the window may be handled, too.
      if (filling.depth !== undefined) return;
      const expected = filling.isEmpty === true ? warmUp + messages : 0;
      // Of acknowledgements that a channel closes upon at once, a quorum queue may not take the last ones.
      const most = expected + (filling.isEmpty === true ? 0 : inFlight);
      const left = await settled(
        () => depthOf(queue),
        (depth) => depth >= expected && depth <= most,
      );
      if (left < expected || left > most)
        throw new Error(`${contender.name}: ${left} messages in the queue at the end, not ${expected}`);
      await channel.deleteQueue(queue);
      queues.delete(queue);
    },
    async close() {
      for (const queue of queues) await channel.deleteQueue(queue);
      await backend.close();
      await connection.close();
    },
  };
}
