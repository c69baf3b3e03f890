import { RedisDeduplicationCache } from '@melange/dedup-redis';
import type { Contestant } from '../contestant.ts';
import { inFlight } from '../in-flight.ts';

const leaseMs = 600_000;

const contestant: Contestant = async ({ address, queue, warmUp, messages, inFlight: limit }, meter) => {
  const cache = new RedisDeduplicationCache({ url: address, namespace: queue });
  const claim = async (index: number): Promise<void> => {
    const { status } = await cache.claim(`orders:order-${index}`, { leaseMs });
    if (status !== 'claimed') throw new Error('claimed before');
  };
  await inFlight(warmUp, limit, claim);
  meter.begin();
  await inFlight(messages, limit, (index) => claim(warmUp + index));
  meter.end();
  await cache.close();
};

export default contestant;
