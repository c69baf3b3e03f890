import { randomUUID } from 'node:crypto';
import { KafkaBackend } from '@melange/backend-kafka';
import { DeadLetterHeader, fixedDelays, type Message, Reject, silentLogger } from '@melange/core';
import { defineService, type QueueDeclaration } from '@melange/service';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type KafkaEvent, type KafkaEventRecord, kafkaHandler } from '../src/kafka.ts';
import { contextFor, gate, type Handle, OrderPlaced } from './support/scene.ts';

const url = process.env.KAFKA_URL;
const none = { batchItemFailures: [] };

/** A record as AWS documents it: base64, and headers as bytes, which Java writes signed. */
function record(
  offset: number,
  id: string,
  more: Partial<KafkaEventRecord> & { readonly keyText?: string } = {},
) {
  const { keyText, ...rest } = more;
  const headers = { manifest: 'OrderPlaced', serializer_id: '1', message_id: `m-${id}`, name: 'Müller' };
  return {
    topic: 'orders',
    partition: 0,
    offset,
    timestamp: 1_700_000_000_000,
    timestampType: 'CREATE_TIME',
    ...(keyText !== undefined && { key: Buffer.from(keyText).toString('base64') }),
    value: Buffer.from(JSON.stringify({ id })).toString('base64'),
    headers: Object.entries(headers).map(([name, text]) => ({
      [name]: [...new Int8Array(Buffer.from(text))],
    })),
    ...rest,
  };
}

const event = (records: KafkaEvent['records']): KafkaEvent => ({ records });

describe.skipIf(url === undefined)('an event of Kafka (skipped without KAFKA_URL)', () => {
  async function scene(handle: Handle, declaration: Omit<QueueDeclaration, 'deadLetterQueue'> = {}) {
    const [queue, deadLetterQueue] = [`lambda-${randomUUID()}`, `lambda-${randomUUID()}-dead`];
    const backend = new KafkaBackend({ brokers: [url as string], partitions: 1, logger: silentLogger });
    onTestFinished(async () => {
      await backend.deleteQueue(queue);
      await backend.deleteQueue(deadLetterQueue);
      await backend.close();
    });
    const service = defineService({
      name: 'billing',
      backend,
      messages: [OrderPlaced],
      queues: { [queue]: { deadLetterQueue, retry: fixedDelays([0, 0]), ...declaration } },
      logger: silentLogger,
    });
    service.on(queue, OrderPlaced, async (order, context) => {
      await handle(order, context);
    });
    const { topics = [] } = declaration;
    await backend.declareQueue(queue, {
      deadLetterQueue,
      topics,
      ...(topics.length > 0 && { filter: ['OrderPlaced'] }),
    });
    const handler = kafkaHandler(service, queue, { logger: silentLogger, reserveMs: 500 });
    return {
      queue,
      backend,
      deadLetterQueue,
      invoke: (records: KafkaEvent['records'], timeoutMs = 30_000) =>
        handler(event(records), contextFor(timeoutMs)),
    };
  }

  test('is processed with its keys and headers, and retries wait within the invocation', async () => {
    const handled: unknown[] = [];
    const { invoke } = await scene(
      ({ id }, { attempt, key, headers, messageId }) => {
        handled.push([id, attempt, key, headers.name, messageId]);
        if (id === 'a' && attempt === 1) throw new Error('not yet');
      },
      { ordering: 'key' },
    );
    const records = [record(7, 'a', { keyText: 'Käufer' }), record(8, 'b', { keyText: 'Käufer' })];
    expect(await invoke({ 'orders-0': records })).toEqual(none);
    expect(handled).toEqual([
      ['a', 1, 'Käufer', 'Müller', 'm-a'],
      ['a', 2, 'Käufer', 'Müller', 'm-a'],
      ['b', 1, 'Käufer', 'Müller', 'm-b'],
    ]);
  });

  test('names of each partition the first record that is not done, when there is no time for the retry', async () => {
    const handled: string[] = [];
    const { invoke } = await scene(
      ({ id }) => {
        handled.push(id);
        if (id === 'b' || id === 'x') throw new Error('not yet');
      },
      { retry: fixedDelays([60_000]), ordering: 'queue' },
    );
    const response = await invoke({
      'orders-0': [record(7, 'a'), record(8, 'b'), record(9, 'c')],
      'orders-1': [record(3, 'x', { partition: 1 }), record(4, 'y', { partition: 1 })],
      'orders-2': [record(1, 'z', { partition: 2 })],
    });
    expect(response).toEqual({
      batchItemFailures: [
        { itemIdentifier: { partition: 'orders-0', offset: 8 } },
        { itemIdentifier: { partition: 'orders-1', offset: 3 } },
      ],
    });
    // Those behind come again anyway: they do not run.
    expect(handled).toEqual(['a', 'b', 'x', 'z']);
  });

  test('dead-letters what is rejected and what is exhausted, and goes on', async () => {
    const { invoke, backend, deadLetterQueue, queue } = await scene(({ id }) => {
      if (id === 'a') throw new Reject('no such customer');
      if (id === 'b') throw new Error('never');
    });
    expect(await invoke({ 'orders-0': [record(7, 'a'), record(8, 'b'), record(9, 'c')] })).toEqual(none);
    const copies: Message[] = [];
    const subscription = await backend.subscribe(
      deadLetterQueue,
      { maxInFlight: 10, untilEmpty: true },
      (delivery) => {
        copies.push(delivery.message);
        void delivery.acknowledge();
      },
    );
    await subscription.ended;
    await subscription.close();
    copies.sort((one, other) => (one.id < other.id ? -1 : 1));
    expect(
      copies.map(({ id, headers }) => [
        id,
        headers[DeadLetterHeader.reason],
        headers[DeadLetterHeader.attempts],
      ]),
    ).toEqual([
      ['m-a', 'rejected', '1'],
      ['m-b', 'attempts exhausted', '3'],
    ]);
    expect(copies[0]).toMatchObject({ content: '{"id":"a"}', headers: { name: 'Müller' } });
    expect(copies[0]?.headers[DeadLetterHeader.sourceQueue]).toBe(queue);
  });

  test('gives back what the time does not suffice for', async () => {
    const { opens } = gate();
    const { invoke } = await scene(async ({ id }) => {
      if (id === 'b') await opens;
    });
    expect(await invoke({ 'orders-0': [record(7, 'a'), record(8, 'b'), record(9, 'c')] }, 2_000)).toEqual({
      batchItemFailures: [{ itemIdentifier: { partition: 'orders-0', offset: 8 } }],
    });
  });

  test('leaves out what the filter of the queue does not want from a topic', async () => {
    const handled: string[] = [];
    const topic = `lambda-${randomUUID()}-topic`;
    const { invoke, backend, deadLetterQueue } = await scene(({ id }) => handled.push(id), {
      topics: [topic],
    });
    onTestFinished(() => backend.deleteTopic(topic));
    const other = [{ manifest: [...Buffer.from('InvoicePaid')] }, { message_id: [...Buffer.from('m')] }];
    const records = [record(1, 'a', { topic }), record(2, 'b', { topic, headers: other })];
    expect(await invoke({ [`${topic}-0`]: records })).toEqual(none);
    expect(handled).toEqual(['a']);
    // It is not taken for a message that nobody handles, either.
    expect((await backend.describeQueue(deadLetterQueue)).depth).toBe(0);
  });

  test('must be one of Kafka', async () => {
    const { invoke } = await scene(() => undefined);
    await expect(invoke(undefined as never)).rejects.toThrow('the event is none of Kafka');
  });
});
