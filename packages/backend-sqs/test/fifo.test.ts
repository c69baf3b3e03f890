import { GetQueueUrlCommand, ReceiveMessageCommand, SQSClient } from '@aws-sdk/client-sqs';
import type { Delivery } from '@melange/core';
import { describe, expect, test } from 'vitest';
import { client } from './support/broker.ts';
import { entriesOf, failEntries, type HttpProxy } from './support/http-proxy.ts';
import {
  backendAt,
  drain,
  eventually,
  isMissing,
  message,
  numbered,
  receive,
  sharedUrl,
  throughProxy,
  uniqueName,
} from './support/scene.ts';

const url = sharedUrl as string;

async function fifoQueue() {
  const backend = backendAt(url);
  const queue = uniqueName('.fifo');
  await backend.declareQueue(queue);
  return { backend, queue };
}

/** Messages of several keys in turn, numbered over all. */
function keyed(count: number, keys: number) {
  return Array.from({ length: count }, (_, index) => message(String(index), { key: `key-${index % keys}` }));
}

describe.skipIf(isMissing)('FIFO queues (skipped without SQS_URL)', () => {
  test('keep the order of each key across competing subscribers, with one of a key at a time', async () => {
    const { backend, queue } = await fifoQueue();
    await backend.publishToQueue(queue, keyed(60, 4));
    const unsettled = new Set<string | undefined>();
    const seen = new Map<string | undefined, number[]>();
    const problems: string[] = [];
    const handle = async (delivery: Delivery): Promise<void> => {
      const { key, content } = delivery.message;
      if (unsettled.has(key)) problems.push(`two of ${key} at once`);
      unsettled.add(key);
      seen.set(key, [...(seen.get(key) ?? []), Number(content)]);
      await new Promise((resolve) => setTimeout(resolve, 1));
      unsettled.delete(key);
      await delivery.acknowledge();
    };
    const receivers = [
      await receive(backend, queue, {}, handle),
      await receive(backendAt(url), queue, {}, handle),
    ];
    const count = (): number => receivers.reduce((sum, { deliveries }) => sum + deliveries.length, 0);
    await eventually(() => expect(count()).toBe(60));
    expect(problems).toEqual([]);
    for (const numbers of seen.values())
      expect(numbers).toEqual([...numbers].sort((left, right) => left - right));
    expect(seen.size).toBe(4);
  });

  test('let other keys go on while one is held, and messages without a key go each on its own', async () => {
    const { backend, queue } = await fifoQueue();
    await backend.publishToQueue(queue, [...keyed(6, 2), ...numbered(3)]);
    const { deliveries } = await receive(backend, queue, {}, (delivery) =>
      delivery.message.key === 'key-0' ? undefined : delivery.acknowledge(),
    );
    await eventually(() => expect(deliveries).toHaveLength(7));
    const held = deliveries.filter((delivery) => delivery.message.key === 'key-0');
    expect(held.map((delivery) => delivery.message.content)).toEqual(['0']);
  });

  test('after a failure the later messages of that key wait for it, and the other keys do not', async () => {
    const { backend, queue } = await fifoQueue();
    await backend.publishToQueue(queue, keyed(6, 2));
    const { contents, deliveries } = await receive(backend, queue, {}, (delivery) =>
      delivery.message.content === '0' && delivery.attempt === 1
        ? delivery.retry({ delayMs: 1_000 })
        : delivery.acknowledge(),
    );
    await eventually(() => expect(deliveries).toHaveLength(7));
    const ofKey = contents().filter((content) => Number(content) % 2 === 0);
    expect(ofKey).toEqual(['0', '0', '2', '4']);
    expect(contents().indexOf('5')).toBeLessThan(contents().lastIndexOf('0'));
  });

  test('of one key that came in one receive are handed over one by one, and kept while they wait', async () => {
    const { backend, proxy, queue } = await groupInOneReceive({ visibilityTimeoutSeconds: 2 });
    const { deliveries, contents } = await receive(backend, queue);
    await eventually(() => expect(deliveries).toHaveLength(1));
    await eventually(() => expect(proxy.count('ChangeMessageVisibilityBatch')).toBeGreaterThan(2));
    expect(contents()).toEqual(['0']);
    for (let count = 1; count <= 5; count += 1) {
      await eventually(() => expect(deliveries).toHaveLength(count));
      await deliveries[count - 1]?.acknowledge();
    }
    expect(contents()).toEqual(['0', '1', '2', '3', '4']);
    expect(await drain(backend, queue)).toEqual([]);
  });

  test('of one key that came in one receive stay here while the first one fails, and none of them counts as received again', async () => {
    const { backend, proxy, queue } = await groupInOneReceive({ visibilityTimeoutSeconds: 2 });
    const { deliveries } = await receive(backend, queue, {}, (delivery) =>
      delivery.message.content === '0' && delivery.attempt < 4
        ? delivery.retry({ delayMs: delivery.attempt * 200 })
        : delivery.acknowledge(),
    );
    await eventually(() => expect(deliveries).toHaveLength(8));
    const seen = deliveries.map(({ message: { content }, attempt, redeliveries }) => [
      content,
      attempt,
      redeliveries,
    ]);
    expect(seen).toEqual([
      ...[1, 2, 3, 4].map((attempt) => ['0', attempt, 0]),
      ...['1', '2', '3', '4'].map((content) => [content, 1, 0]),
    ]);
    expect(visibilitiesOf(proxy).filter(([, seconds]) => seconds === 0)).toEqual([]);
    await eventually(async () => expect(await backend.describeQueue(queue)).toMatchObject({ inFlight: 0 }));
    expect(await drain(backend, queue)).toEqual([]);
  });

  test.each(['when its subscription closes', 'where the subscription ends with an empty queue'])(
    'of one key that came in one receive go back before one that failed, the last one first, %s',
    async (when) => {
      const { backend, proxy, queue, handles } = await groupInOneReceive();
      const untilEmpty = when !== 'when its subscription closes';
      const { deliveries, subscription } = await receive(backend, queue, { untilEmpty });
      await eventually(() => expect(deliveries).toHaveLength(1));
      const closed = untilEmpty ? undefined : subscription.close();
      await deliveries[0]?.retry({ delayMs: 5_000 });
      await closed;
      const [first, ...later] = handles.slice(0, 5);
      // The receive that was open gives the same ones back once more, when it gets them.
      const ofThese = visibilitiesOf(proxy).filter(([handle]) =>
        handles.slice(0, 5).includes(handle as string),
      );
      expect(ofThese).toEqual([...[...later].reverse().map((handle) => [handle, 0]), [first, 5]]);
    },
  );

  test('of one key that wait for a retry go back when the subscription closes, those behind it first, with what is left of its delay', async () => {
    const { backend, proxy, queue, handles } = await groupInOneReceive();
    const { deliveries, subscription } = await receive(backend, queue);
    await eventually(() => expect(deliveries).toHaveLength(1));
    await deliveries[0]?.retry({ delayMs: 600_000 });
    expect(visibilitiesOf(proxy)).toEqual([]);
    await subscription.close();
    const [first, ...later] = handles.slice(0, 5);
    const changes = visibilitiesOf(proxy);
    expect(changes.slice(0, 4)).toEqual([...later].reverse().map((handle) => [handle, 0]));
    expect(changes[4]?.[0]).toBe(first);
    expect(changes[4]?.[1]).toBeGreaterThan(500);
  });

  test('of a key that waits for a retry hold up no other key, however small the window', async () => {
    const { backend, proxy } = await throughProxy();
    const queue = uniqueName('.fifo');
    await backend.declareQueue(queue);
    await backend.publishToQueue(queue, numbered(5));
    answerInOneGroup(proxy, (body) => !body.startsWith('other'));
    const { contents } = await receive(backend, queue, { maxInFlight: 5 }, (delivery) =>
      delivery.message.content === '0' ? delivery.retry({ delayMs: 600_000 }) : delivery.acknowledge(),
    );
    await eventually(() => expect(contents()).toEqual(['0']));
    const others = Array.from({ length: 20 }, (_, index) => message(`other ${index}`));
    await backendAt(url).publishToQueue(queue, others);
    await eventually(() => expect(contents()).toHaveLength(21));
  });

  test('behind another one were never run, so often they were handed out: they come as the first attempt', async () => {
    const { backend, proxy, queue } = await groupInOneReceive();
    const grouping = proxy.interfere;
    // As after four processes that ended with all five in hand.
    proxy.interfere = (call) => {
      const { answer } = grouping(call) ?? {};
      return answer && { answer: (given) => answer({ ...given, body: receivedTimes(5, given.body) }) };
    };
    const { deliveries } = await receive(backend, queue, {}, (delivery) => delivery.acknowledge());
    await eventually(() => expect(deliveries).toHaveLength(5));
    expect(deliveries.map(({ attempt, redeliveries }) => [attempt, redeliveries])).toEqual([
      [5, 4],
      ...[1, 2, 3, 4].map(() => [1, 0]),
    ]);
  });

  test('of one key that came in one receive go back when the first one is lost, and none goes ahead of it', async () => {
    const { backend, proxy, queue, handles } = await groupInOneReceive({ visibilityTimeoutSeconds: 2 });
    const grouping = proxy.interfere;
    const isLost = { Code: 'ReceiptHandleIsInvalid', SenderFault: true };
    proxy.interfere = (call) =>
      call.action === 'ChangeMessageVisibilityBatch'
        ? failEntries(call, (entry) => 'ReceiptHandle' in entry && entry.ReceiptHandle === handles[0], isLost)
        : grouping(call);
    const { deliveries, contents } = await receive(backend, queue, {}, (delivery) =>
      deliveries.length === 1 ? undefined : delivery.acknowledge(),
    );
    await eventually(() => expect(contents().toSorted()).toEqual(['0', '0', '1', '2', '3', '4']));
    expect(contents()[0]).toBe('0');
    expect(deliveries[0]?.signal.reason).toMatchObject({ reason: 'lease-lost' });
  });

  test('give a dead letter its group and a deduplication id of its own', async () => {
    const backend = backendAt(url);
    const [queue, deadLetterQueue] = [uniqueName('.fifo'), uniqueName('.fifo')];
    await backend.declareQueue(queue, { deadLetterQueue });
    const sent = message('x', { key: 'customer-7' });
    await backend.publishToQueue(queue, [sent]);
    const { deliveries } = await receive(backend, queue);
    await eventually(() => expect(deliveries).toHaveLength(1));
    await deliveries[0]?.deadLetter({ reason: 'test' });
    const sqs = new SQSClient({ ...client, endpoint: url });
    const { QueueUrl } = await sqs.send(new GetQueueUrlCommand({ QueueName: deadLetterQueue }));
    const { Messages } = await sqs.send(
      new ReceiveMessageCommand({
        QueueUrl,
        MessageSystemAttributeNames: ['All'],
        MessageAttributeNames: ['All'],
      }),
    );
    sqs.destroy();
    expect(Messages?.[0]?.Attributes?.MessageGroupId).toBe('customer-7');
    expect(Messages?.[0]?.Attributes?.MessageDeduplicationId).toMatch(/^[0-9a-f]{64}$/);
    expect(Messages?.[0]?.MessageAttributes?.message_id?.StringValue).toBe(sent.id);
  });

  test('take a message once that was sent twice, its answer being lost', async () => {
    const { backend, proxy } = await throughProxy();
    const queue = uniqueName('.fifo');
    await backend.declareQueue(queue);
    let dropped = 0;
    proxy.interfere = ({ action }) => {
      if (action !== 'SendMessageBatch' || dropped > 0) return undefined;
      dropped += 1;
      return { drop: true };
    };
    await backend.publishToQueue(queue, numbered(3, { key: 'one' }));
    expect(proxy.count('SendMessageBatch')).toBe(2);
    expect((await drain(backend, queue)).map(({ content }) => content)).toEqual(['0', '1', '2']);
  });

  test('keep the order of publishes while an earlier one is sent again', async () => {
    const { backend, proxy } = await throughProxy();
    const queue = uniqueName('.fifo');
    await backend.declareQueue(queue);
    let failures = 2;
    proxy.interfere = (call) => {
      if (call.action !== 'SendMessageBatch' || failures === 0) return undefined;
      failures -= 1;
      return failEntries(call, () => true, { Code: 'InternalError', SenderFault: false });
    };
    await Promise.all(numbered(25, { key: 'one' }).map((one) => backend.publishToQueue(queue, [one])));
    expect((await drain(backend, queue)).map(({ content }) => Number(content))).toEqual(
      Array.from({ length: 25 }, (_, index) => index),
    );
  });

  test('are not empty while a message that is handled keeps the others of its group back', async () => {
    const { backend, proxy } = await throughProxy({ emptyAfterSeconds: 0 });
    const queue = uniqueName('.fifo');
    await backend.declareQueue(queue);
    await backend.publishToQueue(queue, numbered(3, { key: 'one' }));
    let isOver = false;
    const receiver = await receive(backend, queue, { untilEmpty: true }, async (delivery) => {
      const received = proxy.count('ReceiveMessage');
      // The second one from now on is asked for when the first one has brought nothing.
      await eventually(() => expect(isOver || proxy.count('ReceiveMessage') >= received + 2).toBe(true));
      await delivery.acknowledge();
    });
    void receiver.subscription.ended.then(() => {
      isOver = true;
    });
    await receiver.subscription.ended;
    await receiver.subscription.close();
    expect(receiver.contents()).toEqual(['0', '1', '2']);
  });

  test('receive in order what goes through a FIFO topic', async () => {
    const backend = backendAt(url);
    const [topic, queue] = [uniqueName('.fifo'), uniqueName('.fifo')];
    await backend.declareQueue(queue, { topics: [topic] });
    await Promise.all(numbered(25, { key: 'one' }).map((one) => backend.publishToTopic(topic, [one])));
    expect((await drain(backend, queue)).map(({ content }) => Number(content))).toEqual(
      Array.from({ length: 25 }, (_, index) => index),
    );
    await backend.deleteTopic(topic);
  });

  test('delay no message, and want dead-letter queues and topics of their kind', async () => {
    const { backend, queue } = await fifoQueue();
    await expect(backend.publishToQueue(queue, numbered(1), { delayMs: 1_000 })).rejects.toMatchObject({
      code: 'UNSUPPORTED',
    });
    const other = uniqueName('.fifo');
    await expect(backend.declareQueue(other, { deadLetterQueue: uniqueName() })).rejects.toMatchObject({
      code: 'CONFIGURATION',
    });
    await expect(backend.declareQueue(other, { topics: [uniqueName()] })).rejects.toMatchObject({
      code: 'CONFIGURATION',
    });
    expect(await backend.describeQueue(other)).toMatchObject({ exists: false });
  });
});

test.skipIf(isMissing)(
  'a group of a standard queue has no order: its messages are handed over at once (skipped without SQS_URL)',
  async () => {
    const { backend, proxy } = await throughProxy();
    const queue = uniqueName();
    await backend.declareQueue(queue);
    await backend.publishToQueue(queue, numbered(5));
    answerInOneGroup(proxy);
    const { deliveries } = await receive(backend, queue);
    await eventually(() => expect(deliveries).toHaveLength(5));
    await Promise.all(deliveries.map((delivery) => delivery.acknowledge()));
  },
);

/**
 * Five messages that come in one receive as one group. SQS does that with a FIFO queue; the emulator hands over one of
 * a group at a time, so each is in a group of its own there, and all are in one in its answers.
 */
async function groupInOneReceive(options?: Parameters<typeof throughProxy>[0]) {
  const { backend, proxy } = await throughProxy(options);
  const queue = uniqueName('.fifo');
  await backend.declareQueue(queue);
  await backend.publishToQueue(queue, numbered(5));
  return { backend, proxy, queue, handles: answerInOneGroup(proxy) };
}

/** Every change of a visibility so far, in order. */
function visibilitiesOf(proxy: HttpProxy): (readonly [receiptHandle: unknown, seconds: unknown])[] {
  return proxy.calls
    .filter(({ action }) => action === 'ChangeMessageVisibilityBatch')
    .flatMap((call) =>
      entriesOf(call).map(
        ({ ReceiptHandle, VisibilityTimeout }) => [ReceiptHandle, VisibilityTimeout] as const,
      ),
    );
}

/** The answer to a receive, with so many receives counted. */
function receivedTimes(count: number, body: string): string {
  const { Messages, ...rest } = JSON.parse(body) as { Messages?: { Attributes: object }[] };
  const counted = Messages?.map((one) => ({
    ...one,
    Attributes: { ...one.Attributes, ApproximateReceiveCount: String(count) },
  }));
  return JSON.stringify({ ...rest, ...(counted && { Messages: counted }) });
}

/** Writes one group into all messages that are received; answers with their receipt handles, in the order of receipt. */
function answerInOneGroup(proxy: HttpProxy, isOfGroup: (body: string) => boolean = () => true): string[] {
  const handles: string[] = [];
  proxy.interfere = ({ action }) =>
    action !== 'ReceiveMessage'
      ? undefined
      : {
          answer: ({ status, body }) => {
            const { Messages, ...rest } = JSON.parse(body) as {
              Messages?: { Attributes: object; ReceiptHandle: string; Body: string }[];
            };
            const grouped = Messages?.map((one) => {
              if (!isOfGroup(one.Body)) return one;
              handles.push(one.ReceiptHandle);
              return { ...one, Attributes: { ...one.Attributes, MessageGroupId: 'one' } };
            });
            return { status, body: JSON.stringify({ ...rest, ...(grouped && { Messages: grouped }) }) };
          },
        };
  return handles;
}
