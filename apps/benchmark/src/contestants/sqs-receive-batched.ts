import { DeleteMessageBatchCommand, ReceiveMessageCommand } from '@aws-sdk/client-sqs';
import type { Contestant } from '../contestant.ts';
import { handle, type Order } from '../order.ts';
import { openSqs } from '../sqs-client.ts';

const perRequest = 10;

/** By hand: ten loops that each receive ten messages, handle them and delete them by one request. */
const contestant: Contestant = async ({ address, queue, warmUp, messages, inFlight }, meter) => {
  const { client, url } = await openSqs(address, queue, inFlight);
  let left = warmUp + messages;
  const loop = async (): Promise<void> => {
    while (left > 0) {
      const receive = new ReceiveMessageCommand({
        QueueUrl: url,
        MaxNumberOfMessages: perRequest,
        WaitTimeSeconds: 1,
      });
      const { Messages = [] } = await client.send(receive);
      if (Messages.length === 0) continue;
      left -= Messages.length;
      await Promise.all(Messages.map(({ Body = '' }) => handle(JSON.parse(Body) as Order)));
      const Entries = Messages.map(({ ReceiptHandle }, index) => ({ Id: String(index), ReceiptHandle }));
      const { Failed = [] } = await client.send(new DeleteMessageBatchCommand({ QueueUrl: url, Entries }));
      if (Failed.length > 0) throw new Error(`${Failed.length} entries failed`);
      for (const _ of Messages) meter.handled();
    }
  };
  await Promise.all(Array.from({ length: inFlight / perRequest }, loop));
  client.destroy();
};

export default contestant;
