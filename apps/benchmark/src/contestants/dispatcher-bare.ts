import { bytesAllocatedBy } from '../allocated.ts';
import type { Contestant } from '../contestant.ts';
import { inFlight } from '../in-flight.ts';
import { handle, type Order, OrderPlaced } from '../order.ts';

/** The handler called with the parsed content, and nothing else. */
const contestant: Contestant = async ({ warmUp, messages, inFlight: limit }, meter) => {
  const content = JSON.stringify(new OrderPlaced(1));
  const call = (): Promise<void> => handle(JSON.parse(content) as Order);
  await inFlight(warmUp, limit, call);
  meter.begin();
  await inFlight(messages, limit, call);
  meter.end();
  const bytes = await bytesAllocatedBy(() => inFlight(messages, limit, call));
  meter.report('bytes/message', bytes / messages);
};

export default contestant;
