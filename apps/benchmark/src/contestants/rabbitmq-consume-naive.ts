import { connect } from 'amqplib';
import type { Contestant } from '../contestant.ts';
import { handle, type Order } from '../order.ts';

/** As amqplib's documentation shows it: one acknowledgement per message. */
const contestant: Contestant = async ({ address, queue, inFlight, parameters }, meter) => {
  const connection = await connect(address);
  const channel = await connection.createChannel();
  await channel.prefetch(inFlight);
  await channel.consume(queue, async (message) => {
    if (message === null) return;
    await handle(JSON.parse(message.content.toString()) as Order, parameters.handlerMs);
    channel.ack(message);
    meter.handled();
  });
  await meter.ended;
  await channel.close();
  await connection.close();
};

export default contestant;
