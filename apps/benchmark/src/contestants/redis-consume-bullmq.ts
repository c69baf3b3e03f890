import { Worker } from 'bullmq';
import type { Contestant } from '../contestant.ts';
import { handle, type Order } from '../order.ts';

/** A worker; jobs that are done are removed, as acknowledged messages are. */
const contestant: Contestant = async ({ address, queue, inFlight: concurrency, parameters }, meter) => {
  const worker = new Worker<Order>(
    queue,
    async ({ data }) => {
      await handle(data, parameters.handlerMs);
    },
    { connection: { url: address, maxRetriesPerRequest: null }, concurrency, removeOnComplete: { count: 0 } },
  );
  worker.on('completed', () => meter.handled());
  await meter.ended;
  await worker.close();
};

export default contestant;
