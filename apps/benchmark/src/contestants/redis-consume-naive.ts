import { Redis } from 'ioredis';
import type { Contestant } from '../contestant.ts';
import { handle, type Order } from '../order.ts';

/** Reads as many as may be in flight for a consumer group, and acknowledges each by a call of its own. */
const contestant: Contestant = async ({ address, queue, warmUp, messages, inFlight, parameters }, meter) => {
  const redis = new Redis(address);
  for (let left = warmUp + messages; left > 0; ) {
    const answer = await redis.xreadgroup('GROUP', 'orders', 'me', 'COUNT', inFlight, 'STREAMS', queue, '>');
    const [[, entries]] = answer as [[string, [id: string, fields: string[]][]]];
    left -= entries.length;
    await Promise.all(
      entries.map(async ([id, [, content = '']]) => {
        await handle(JSON.parse(content) as Order, parameters.handlerMs);
        await redis.xack(queue, 'orders', id);
        meter.handled();
      }),
    );
  }
  await redis.quit();
};

export default contestant;
