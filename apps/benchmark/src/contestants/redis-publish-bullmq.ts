import { Queue } from 'bullmq';
import type { Contestant } from '../contestant.ts';
import { inFlight } from '../in-flight.ts';
import { OrderPlaced } from '../order.ts';

/** Jobs, each added by a call of its own. */
const contestant: Contestant = async ({ address, queue: name, warmUp, messages, inFlight: limit }, meter) => {
  const queue = new Queue(name, { connection: { url: address } });
  const publish = (index: number): Promise<unknown> => queue.add('OrderPlaced', new OrderPlaced(index));
  await inFlight(warmUp, limit, publish);
  meter.begin();
  await inFlight(messages, limit, publish);
  meter.end();
  await queue.close();
};

export default contestant;
