import { DeleteMessageCommand, ReceiveMessageCommand } from '@aws-sdk/client-sqs';
import type { Contestant } from '../contestant.ts';
import { handle, type Order } from '../order.ts';
import { openSqs } from '../sqs-client.ts';

/** A hundred loops that each receive one message, handle it and delete it. */
const contestant: Contestant = async ({ address, queue, warmUp, messages, inFlight }, meter) => {
  const { client, url } = await openSqs(address, queue, inFlight);
  let left = warmUp + messages;
  const loop = async (): Promise<void> => {
    while (left > 0) {
      const { Messages = [] } = await client.send(
        new ReceiveMessageCommand({ QueueUrl: url, WaitTimeSeconds: 1 }),
      );
      for (const { Body = '', ReceiptHandle } of Messages) {
        left -= 1;
        await handle(JSON.parse(Body) as Order);
        await client.send(new DeleteMessageCommand({ QueueUrl: url, ReceiptHandle }));
        meter.handled();
      }
    }
  };
  await Promise.all(Array.from({ length: inFlight }, loop));
  client.destroy();
};

export default contestant;
