import type { Contestant } from '../contestant.ts';
import { inFlight } from '../in-flight.ts';
import { OrderPlaced } from '../order.ts';
import { startBoss } from '../postgres-libraries.ts';

const contestant: Contestant = async ({ address, queue, warmUp, messages, inFlight: limit }, meter) => {
  const boss = await startBoss(address);
  const publish = (index: number): Promise<unknown> => boss.send(queue, new OrderPlaced(index));
  await inFlight(warmUp, limit, publish);
  meter.begin();
  await inFlight(messages, limit, publish);
  meter.end();
  await boss.stop({ graceful: false });
};

export default contestant;
