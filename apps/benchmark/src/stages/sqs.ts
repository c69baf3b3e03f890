import {
  CreateQueueCommand,
  DeleteQueueCommand,
  GetQueueAttributesCommand,
  GetQueueUrlCommand,
  SendMessageBatchCommand,
  SQSClient,
} from '@aws-sdk/client-sqs';
import { SqsBackend } from '@melange/backend-sqs';
import { QueuePublisher } from '@melange/core';
import { serializersOfOrders } from '../melange.ts';
import { OrderPlaced } from '../order.ts';
import { sqsSettings } from '../sqs-client.ts';
import type { Stage } from '../table.ts';
import { fill, settled } from './fill.ts';

/**
 * A queue per run. A contestant whose file is Melange's finds messages as Melange publishes them, any other plain
 * JSON.
 *
 * @param isEmpty nothing is in the queue: it is the contestant that publishes.
 */
export async function sqsStage(address: string, isEmpty: boolean): Promise<Stage> {
  const client = new SQSClient(sqsSettings(address));
  const backend = new SqsBackend({ client: sqsSettings(address) });
  const publisher = new QueuePublisher({ backend, serializers: serializersOfOrders() });
  const urlOf = async (QueueName: string): Promise<string> =>
    (await client.send(new GetQueueUrlCommand({ QueueName }))).QueueUrl ?? '';
  const depthOf = async (QueueUrl: string): Promise<number> => {
    const names = ['ApproximateNumberOfMessages', 'ApproximateNumberOfMessagesNotVisible'] as const;
    const command = new GetQueueAttributesCommand({ QueueUrl, AttributeNames: [...names] });
    const { Attributes = {} } = await client.send(command);
    return names.reduce((sum, name) => sum + Number(Attributes[name] ?? 0), 0);
  };
  return {
    async before({ file }, { queue, warmUp, messages }) {
      await client.send(new CreateQueueCommand({ QueueName: queue }));
      if (isEmpty) return;
      const QueueUrl = await urlOf(queue);
      if (file.endsWith('-melange')) {
        await fill(warmUp + messages, 1_000, async (indexes) => {
          await publisher.publishBatch(
            queue,
            indexes.map((index) => ({ value: new OrderPlaced(index) })),
          );
        });
        return;
      }
      await fill(warmUp + messages, 10, async (indexes) => {
        const Entries = indexes.map((index) => ({
          Id: String(index),
          MessageBody: JSON.stringify(new OrderPlaced(index)),
        }));
        await client.send(new SendMessageBatchCommand({ QueueUrl, Entries }));
      });
    },
    async after({ name }, { queue, warmUp, messages }) {
      const QueueUrl = await urlOf(queue);
      const expected = isEmpty ? warmUp + messages : 0;
      const left = await settled(
        () => depthOf(QueueUrl),
        (depth) => depth === expected,
      );
      if (left !== expected)
        throw new Error(`${name}: ${left} messages in the queue at the end, not ${expected}`);
      await client.send(new DeleteQueueCommand({ QueueUrl }));
    },
    async close() {
      await backend.close();
      client.destroy();
    },
  };
}
