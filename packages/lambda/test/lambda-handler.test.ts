import { MemoryBackend } from '@melange/backend-memory';
import { type Message, SerializerRegistry, SingleDispatchConsumer, silentLogger } from '@melange/core';
import { MemoryDeduplicationCache } from '@melange/dedup-memory';
import { JsonSerializer } from '@melange/serializer-json';
import { defineService } from '@melange/service';
import type { SQSHandler } from 'aws-lambda';
import { describe, expect, expectTypeOf, onTestFinished, test } from 'vitest';
import { lambdaHandler } from '../src/index.ts';
import { SqsEventSource } from './support/event-source.ts';
import { backendFor, contextFor, isMissing, OrderPlaced, uniqueName, url } from './support/scene.ts';

const none = { batchItemFailures: [] };

describe('a handler', () => {
  const declaration = { name: 'billing', messages: [OrderPlaced], logger: silentLogger } as const;

  test('is of a queue that the service has', () => {
    const service = defineService({ ...declaration, backend: new MemoryBackend(), queues: { orders: {} } });
    // @ts-expect-error the service has no such queue
    expect(() => lambdaHandler(service, 'payments')).toThrow(
      'The service has no queue "payments"; its queues: orders.',
    );
  });

  test('is for SQS', () => {
    const service = defineService({ ...declaration, backend: new MemoryBackend(), queues: { orders: {} } });
    expect(() => lambdaHandler(service, 'orders')).toThrow(
      '"orders" is on memory: `lambdaHandler` is for SQS, `kafkaHandler` for Kafka.',
    );
  });

  test('tells numbers that make no sense when it is made', () => {
    const backend = backendFor('http://127.0.0.1:1');
    const service = defineService({ ...declaration, backend, queues: { orders: {} } });
    expect(() => lambdaHandler(service, 'orders', { reserveMs: -1 })).toThrow(/reserveMs/);
    const senseless = { orders: { concurrency: 0 } };
    const other = defineService({ ...declaration, backend, queues: senseless });
    expect(() => lambdaHandler(other, 'orders')).toThrow(/concurrency/);
  });

  test('is one of @types/aws-lambda', () => {
    expectTypeOf<ReturnType<typeof lambdaHandler>>().toExtend<SQSHandler>();
  });

  test('refuses events of other queues, and of no queue', async () => {
    const backend = backendFor('http://127.0.0.1:1');
    const service = defineService({ ...declaration, backend, queues: { orders: {} } });
    const handler = lambdaHandler(service, 'orders');
    const record = { messageId: '1', receiptHandle: '1', body: '', attributes: {}, messageAttributes: {} };
    const eventSourceARN = 'arn:aws:sqs:eu-central-1:123456789012:payments';
    await expect(handler({ Records: [{ ...record, eventSourceARN }] }, contextFor())).rejects.toThrow(
      'The handler of "orders" was given an event of arn:aws:sqs:eu-central-1:123456789012:payments',
    );
    await expect(handler({} as never, contextFor())).rejects.toThrow('the event is none of SQS');
  });
});

describe.skipIf(isMissing)('with a queue of SQS (skipped without SQS_URL)', () => {
  test('a message that was processed is not processed again, with a deduplication cache', async () => {
    const handled: string[] = [];
    const [backend, queue] = [backendFor(), uniqueName()];
    const cache = new MemoryDeduplicationCache();
    onTestFinished(() => cache.close());
    const service = defineService({
      name: 'billing',
      backend,
      messages: [OrderPlaced],
      cache,
      queues: { [queue]: {} },
      logger: silentLogger,
    }).on(queue, OrderPlaced, ({ id }, { messageId }) => {
      handled.push(`${id} ${messageId}`);
    });
    await backend.declareQueue(queue);
    const handler = lambdaHandler(service, queue);
    await backend.publishToQueue(queue, [order('m1'), order('m2'), order('m1')]);
    await using source = new SqsEventSource(url as string, queue);
    const event = await source.batch(3);
    expect(await handler({ Records: event.Records.slice(0, 2) }, contextFor())).toEqual(none);
    expect(await handler(event, contextFor())).toEqual(none);
    expect([...handled].sort()).toEqual(['1 m1', '1 m2']);
  });

  test('consumers need no service', async () => {
    const handled: string[] = [];
    const [backend, queue] = [backendFor(), uniqueName()];
    await backend.declareQueue(queue);
    const consumer = new SingleDispatchConsumer('billing').on(OrderPlaced, ({ id }) => {
      handled.push(id);
    });
    const serializers = new SerializerRegistry({
      serializers: { json: new JsonSerializer([OrderPlaced]) },
      default: 'json',
    });
    const handler = lambdaHandler(
      { backend, serializers, consumers: [consumer], logger: silentLogger },
      queue,
    );
    await backend.publishToQueue(queue, [order('m1')]);
    await using source = new SqsEventSource(url as string, queue);
    expect(await source.deliver(1, (event) => handler(event, contextFor()))).toEqual(none);
    expect(handled).toEqual(['1']);
  });

  test('reads messages as the backend does: text, bytes, characters that SQS refuses, many headers', async () => {
    const [backend, queue] = [backendFor(), uniqueName()];
    await backend.declareQueue(queue);
    const received: unknown[] = [];
    const asItCame = {
      identifier: 1,
      manifest: () => 'OrderPlaced',
      serialize: () => '',
      deserialize: (content: unknown) => ({ content }),
    };
    const handler = lambdaHandler(
      {
        backend,
        serializers: new SerializerRegistry({ serializers: { asItCame }, default: 'asItCame' }),
        consumers: [
          {
            name: 'reader',
            accepts: () => true,
            process(value, { messageId: id, headers, key }) {
              received.push({ id, headers, key, ...(value as object) });
            },
          },
        ],
      },
      queue,
    );
    const many = Object.fromEntries(
      Array.from({ length: 12 }, (_, index) => [`header${index}`, `ü${index}`]),
    );
    const sent = [
      { ...order('m1'), headers: many, key: 'customer' },
      { ...order('m2'), content: new Uint8Array([0, 255, 128]) },
      { ...order('m3'), content: 'line\u0000feed' },
    ];
    await backend.publishToQueue(queue, sent);
    await using source = new SqsEventSource(url as string, queue);
    // What another client sends in bytes.
    const bytes = await source.batch(3);
    const [first] = bytes.Records;
    Object.assign(first?.messageAttributes ?? {}, { token: { dataType: 'Binary', binaryValue: '/wA=' } });
    expect(await handler(bytes, contextFor())).toEqual(none);
    const idOfFirst = first?.messageAttributes.message_id?.stringValue;
    const expected = sent.map(({ id, content, headers, key }) => ({
      id,
      content,
      headers: id === idOfFirst ? { ...headers, token: '/wA=' } : headers,
      key,
    }));
    expect(received).toEqual(expect.arrayContaining(expected));
    expect(received).toHaveLength(3);
  });
});

function order(id: string): Message {
  const rest = { key: undefined, headers: {}, publishedAt: undefined };
  return { id, content: '{"id":"1"}', manifest: 'OrderPlaced', serializerId: 1, ...rest };
}
