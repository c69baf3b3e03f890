import type { Contestant } from '../contestant.ts';
import { handle, type Order } from '../order.ts';
import { startBoss } from '../postgres-libraries.ts';

const contestant: Contestant = async ({ address, queue, warmUp, messages, inFlight }, meter) => {
  const boss = await startBoss(address);
  for (let done = 0; done < warmUp + messages; ) {
    const jobs = await boss.fetch<Order>(queue, { batchSize: inFlight });
    await Promise.all(jobs.map(({ data }) => handle(data)));
    const ids = jobs.map(({ id }) => id);
    await boss.complete(queue, ids);
    done += jobs.length;
    for (const _ of ids) meter.handled();
  }
  await boss.stop({ graceful: false });
};

export default contestant;
