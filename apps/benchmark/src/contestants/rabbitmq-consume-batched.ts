import { connect, type Message } from 'amqplib';
import type { Contestant } from '../contestant.ts';
import { handle, type Order } from '../order.ts';

/** By hand: one acknowledgement for all that are finished without a gap, when half of the prefetched are. */
const contestant: Contestant = async ({ address, queue, inFlight }, meter) => {
  const connection = await connect(address);
  const channel = await connection.createChannel();
  await channel.prefetch(inFlight);
  const finished = new Map<number, Message>();
  let next = 1;
  let last: Message | undefined;
  let unsent = 0;
  const acknowledge = (): void => {
    if (last !== undefined) channel.ack(last, true);
    last = undefined;
    unsent = 0;
  };
  const timer = setInterval(acknowledge, 10);
  await channel.consume(queue, async (message) => {
    if (message === null) return;
    await handle(JSON.parse(message.content.toString()) as Order);
    finished.set(message.fields.deliveryTag, message);
    for (let done = finished.get(next); done !== undefined; done = finished.get(next)) {
      finished.delete(next);
      next += 1;
      unsent += 1;
      last = done;
    }
    if (unsent >= inFlight / 2) acknowledge();
    meter.handled();
  });
  await meter.ended;
  clearInterval(timer);
  acknowledge();
  await channel.close();
  await connection.close();
};

export default contestant;
