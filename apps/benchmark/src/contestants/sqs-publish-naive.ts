import { SendMessageCommand } from '@aws-sdk/client-sqs';
import type { Contestant } from '../contestant.ts';
import { inFlight } from '../in-flight.ts';
import { OrderPlaced } from '../order.ts';
import { openSqs } from '../sqs-client.ts';

/** One request per message. */
const contestant: Contestant = async ({ address, queue, warmUp, messages, inFlight: limit }, meter) => {
  const { client, url } = await openSqs(address, queue, limit);
  const publish = (index: number): Promise<unknown> => {
    const MessageBody = JSON.stringify(new OrderPlaced(index));
    return client.send(new SendMessageCommand({ QueueUrl: url, MessageBody }));
  };
  await inFlight(warmUp, limit, publish);
  meter.begin();
  await inFlight(messages, limit, publish);
  meter.end();
  client.destroy();
};

export default contestant;
