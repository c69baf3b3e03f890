import { Redis } from 'ioredis';
import type { Contestant } from '../contestant.ts';
import { inFlight } from '../in-flight.ts';

const leaseMs = '600000';

/** `SET NX PX`, what is asked for in one turn in one pipeline. */
const contestant: Contestant = async ({ address, queue, warmUp, messages, inFlight: limit }, meter) => {
  const redis = new Redis(address, { enableAutoPipelining: true });
  const claim = async (index: number): Promise<void> => {
    const answer = await redis.set(`${queue}:order-${index}`, 'me', 'PX', leaseMs, 'NX');
    if (answer !== 'OK') throw new Error('claimed before');
  };
  await inFlight(warmUp, limit, claim);
  meter.begin();
  await inFlight(messages, limit, (index) => claim(warmUp + index));
  meter.end();
  await redis.quit();
};

export default contestant;
