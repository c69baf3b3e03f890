import type { Contestant } from '../contestant.ts';
import { inFlight } from '../in-flight.ts';
import { OrderPlaced } from '../order.ts';
import { startGraphile } from '../postgres-libraries.ts';

const contestant: Contestant = async ({ address, queue, warmUp, messages, inFlight: limit }, meter) => {
  const utils = await startGraphile(address);
  const publish = (index: number): Promise<unknown> => utils.addJob(queue, new OrderPlaced(index));
  await inFlight(warmUp, limit, publish);
  meter.begin();
  await inFlight(messages, limit, publish);
  meter.end();
  await utils.release();
};

export default contestant;
