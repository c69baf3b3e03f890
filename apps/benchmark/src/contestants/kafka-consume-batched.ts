import type { KafkaMessage } from 'kafkajs';
import type { Contestant } from '../contestant.ts';
import { inFlight } from '../in-flight.ts';
import { openKafka } from '../kafka-client.ts';
import { handle, type Order } from '../order.ts';

/** By hand: `eachBatch`, a hundred messages at a time, those of one key in their order. */
const contestant: Contestant = async ({ address, queue, inFlight: limit, parameters }, meter) => {
  const consumer = openKafka(address).consumer({ groupId: queue });
  await consumer.connect();
  await consumer.subscribe({ topic: queue, fromBeginning: true });
  const partitions = parameters.partitions ?? 1;
  await consumer.run({
    partitionsConsumedConcurrently: partitions,
    eachBatchAutoResolve: false,
    eachBatch: async ({ batch, resolveOffset, heartbeat, commitOffsetsIfNecessary }) => {
      const atOnce = limit / partitions;
      for (let first = 0; first < batch.messages.length; first += atOnce) {
        const chunk = batch.messages.slice(first, first + atOnce);
        const keys = new Map<string, KafkaMessage[]>();
        for (const message of chunk) {
          const key = message.key?.toString() ?? '';
          const others = keys.get(key);
          if (others === undefined) keys.set(key, [message]);
          else others.push(message);
        }
        const lanes = [...keys.values()];
        await inFlight(lanes.length, lanes.length, async (lane) => {
          for (const { value } of lanes[lane] ?? []) {
            await handle(JSON.parse(value?.toString() ?? '') as Order, parameters.handlerMs);
            meter.handled();
          }
        });
        resolveOffset(chunk.at(-1)?.offset ?? '0');
        await commitOffsetsIfNecessary();
        await heartbeat();
      }
    },
  });
  await meter.ended;
  await consumer.disconnect();
};

export default contestant;
