import { EventEmitter } from 'node:events';
import type { Contestant } from '../contestant.ts';
import { inFlight } from '../in-flight.ts';
import { handle, type Order, OrderPlaced } from '../order.ts';

/** An event emitter between the two, without JSON: nothing is kept, acknowledged or tried again. */
const contestant: Contestant = async ({ warmUp, messages, inFlight: limit }, meter) => {
  const emitter = new EventEmitter();
  emitter.on('order', async (order: Order, done: () => void) => {
    await handle(order);
    done();
  });
  const call = (index: number): Promise<void> =>
    new Promise((resolve) => emitter.emit('order', new OrderPlaced(index), resolve));
  await inFlight(warmUp, limit, call);
  meter.begin();
  await inFlight(messages, limit, call);
  meter.end();
};

export default contestant;
