import type { Contestant } from '../contestant.ts';
import { inFlight } from '../in-flight.ts';
import { handle, type Order, OrderPlaced } from '../order.ts';

/** A call of the handler, with the message through JSON and back. */
const contestant: Contestant = async ({ warmUp, messages, inFlight: limit }, meter) => {
  const call = (index: number): Promise<void> =>
    handle(JSON.parse(JSON.stringify(new OrderPlaced(index))) as Order);
  await inFlight(warmUp, limit, call);
  meter.begin();
  await inFlight(messages, limit, call);
  meter.end();
};

export default contestant;
