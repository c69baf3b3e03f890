import { SendMessageBatchCommand } from '@aws-sdk/client-sqs';
import type { Contestant } from '../contestant.ts';
import { inFlight } from '../in-flight.ts';
import { OrderPlaced } from '../order.ts';
import { openSqs } from '../sqs-client.ts';

const perRequest = 10;

/** By hand: whoever has all messages at hand sends ten with each request. */
const contestant: Contestant = async ({ address, queue, warmUp, messages, inFlight: limit }, meter) => {
  const { client, url } = await openSqs(address, queue, limit);
  const publish = async (count: number): Promise<void> => {
    await inFlight(Math.ceil(count / perRequest), limit / perRequest, async (batch) => {
      const first = batch * perRequest;
      const Entries = Array.from({ length: Math.min(perRequest, count - first) }, (_, index) => ({
        Id: String(index),
        MessageBody: JSON.stringify(new OrderPlaced(first + index)),
      }));
      const { Failed = [] } = await client.send(new SendMessageBatchCommand({ QueueUrl: url, Entries }));
      if (Failed.length > 0) throw new Error(`${Failed.length} entries failed`);
    });
  };
  await publish(warmUp);
  meter.begin();
  await publish(messages);
  meter.end();
  client.destroy();
};

export default contestant;
