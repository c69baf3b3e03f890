import { Redis } from 'ioredis';
import type { Contestant } from '../contestant.ts';
import { OrderPlaced } from '../order.ts';

/** By hand: as many `XADD` in one pipeline as may be in flight, then one wait for all of them. */
const contestant: Contestant = async ({ address, queue, warmUp, messages, inFlight }, meter) => {
  const redis = new Redis(address);
  const publish = async (count: number): Promise<void> => {
    for (let first = 0; first < count; first += inFlight) {
      const pipeline = redis.pipeline();
      for (let index = first; index < Math.min(count, first + inFlight); index += 1)
        pipeline.xadd(queue, '*', 'order', JSON.stringify(new OrderPlaced(index)));
      for (const [error] of (await pipeline.exec()) ?? []) if (error !== null) throw error;
    }
  };
  await publish(warmUp);
  meter.begin();
  await publish(messages);
  meter.end();
  await redis.quit();
};

export default contestant;
