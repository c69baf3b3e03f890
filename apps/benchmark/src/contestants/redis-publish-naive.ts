import { Redis } from 'ioredis';
import type { Contestant } from '../contestant.ts';
import { inFlight } from '../in-flight.ts';
import { OrderPlaced } from '../order.ts';

/** `XADD` of the JSON as the one field of an entry, each call awaited by its publisher. */
const contestant: Contestant = async ({ address, queue, warmUp, messages, inFlight: limit }, meter) => {
  const redis = new Redis(address);
  const publish = (index: number): Promise<unknown> =>
    redis.xadd(queue, '*', 'order', JSON.stringify(new OrderPlaced(index)));
  await inFlight(warmUp, limit, publish);
  meter.begin();
  await inFlight(messages, limit, publish);
  meter.end();
  await redis.quit();
};

export default contestant;
