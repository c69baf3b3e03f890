import { Redis } from 'ioredis';
import type { Contestant } from '../contestant.ts';
import { handle, type Order } from '../order.ts';

/** By hand: reads as many as may be in flight, and acknowledges and deletes all of them by one call each. */
const contestant: Contestant = async ({ address, queue, warmUp, messages, inFlight, parameters }, meter) => {
  const redis = new Redis(address);
  for (let left = warmUp + messages; left > 0; ) {
    const answer = await redis.xreadgroup('GROUP', 'orders', 'me', 'COUNT', inFlight, 'STREAMS', queue, '>');
    const [[, entries]] = answer as [[string, [id: string, fields: string[]][]]];
    left -= entries.length;
    await Promise.all(
      entries.map(([, [, content = '']]) => handle(JSON.parse(content) as Order, parameters.handlerMs)),
    );
    const ids = entries.map(([id]) => id);
    const settled = await redis
      .pipeline()
      .xack(queue, 'orders', ...ids)
      .xdel(queue, ...ids)
      .exec();
    for (const [error] of settled ?? []) if (error !== null) throw error;
    for (const _ of entries) meter.handled();
  }
  await redis.quit();
};

export default contestant;
