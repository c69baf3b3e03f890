import { Redis } from 'ioredis';
import type { Contestant } from '../contestant.ts';

const leaseMs = '600000';

/** One claim after the other: `SET NX PX`. */
const contestant: Contestant = async ({ address, queue, warmUp, messages }, meter) => {
  const redis = new Redis(address);
  const claim = async (index: number): Promise<void> => {
    const answer = await redis.set(`${queue}:order-${index}`, 'me', 'PX', leaseMs, 'NX');
    if (answer !== 'OK') throw new Error('claimed before');
  };
  for (let index = 0; index < warmUp; index += 1) await claim(index);
  meter.begin();
  for (let index = 0; index < messages; index += 1) await claim(warmUp + index);
  meter.end();
  await redis.quit();
};

export default contestant;
