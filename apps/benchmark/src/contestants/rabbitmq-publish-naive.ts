import { connect } from 'amqplib';
import type { Contestant } from '../contestant.ts';
import { inFlight } from '../in-flight.ts';
import { OrderPlaced } from '../order.ts';

/** Publishes with the callback of each confirm. */
const contestant: Contestant = async ({ address, queue, warmUp, messages, inFlight: limit }, meter) => {
  const connection = await connect(address);
  const channel = await connection.createConfirmChannel();
  const publish = (index: number): Promise<void> =>
    new Promise((resolve, reject) => {
      const content = Buffer.from(JSON.stringify(new OrderPlaced(index)));
      channel.sendToQueue(queue, content, { persistent: true, contentType: 'application/json' }, (error) =>
        error === null || error === undefined ? resolve() : reject(error),
      );
    });
  await inFlight(warmUp, limit, publish);
  meter.begin();
  await inFlight(messages, limit, publish);
  meter.end();
  await channel.close();
  await connection.close();
};

export default contestant;
