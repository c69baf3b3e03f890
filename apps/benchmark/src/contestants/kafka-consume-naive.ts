import type { Contestant } from '../contestant.ts';
import { openKafka } from '../kafka-client.ts';
import { handle, type Order } from '../order.ts';

/** `eachMessage`, all partitions at the same time, committing by itself. */
const contestant: Contestant = async ({ address, queue, parameters }, meter) => {
  const consumer = openKafka(address).consumer({ groupId: queue });
  await consumer.connect();
  await consumer.subscribe({ topic: queue, fromBeginning: true });
  await consumer.run({
    partitionsConsumedConcurrently: parameters.partitions ?? 1,
    eachMessage: async ({ message }) => {
      await handle(JSON.parse(message.value?.toString() ?? '') as Order, parameters.handlerMs);
      meter.handled();
    },
  });
  await meter.ended;
  await consumer.disconnect();
};

export default contestant;
