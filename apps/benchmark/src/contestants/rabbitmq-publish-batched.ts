import { connect } from 'amqplib';
import type { Contestant } from '../contestant.ts';
import { OrderPlaced } from '../order.ts';

/** By hand: as many as may be in flight, then one wait for all of them. */
const contestant: Contestant = async ({ address, queue, warmUp, messages, inFlight }, meter) => {
  const connection = await connect(address);
  const channel = await connection.createConfirmChannel();
  const publish = async (count: number): Promise<void> => {
    for (let first = 0; first < count; first += inFlight) {
      for (let index = first; index < Math.min(count, first + inFlight); index += 1) {
        const content = Buffer.from(JSON.stringify(new OrderPlaced(index)));
        channel.sendToQueue(queue, content, { persistent: true, contentType: 'application/json' });
      }
      await channel.waitForConfirms();
    }
  };
  await publish(warmUp);
  meter.begin();
  await publish(messages);
  meter.end();
  await channel.close();
  await connection.close();
};

export default contestant;
