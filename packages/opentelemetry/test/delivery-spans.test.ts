import { MemoryBackend } from '@melange/backend-memory';
import { Reject, RetryLater } from '@melange/core';
import { DeadLetters } from '@melange/dead-letters';
import { MemoryDeduplicationCache } from '@melange/dedup-memory';
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { consumer, Scene } from './support/scene.ts';
import { idOf, linked, Telemetry } from './support/telemetry.ts';

let telemetry: Telemetry;
let scene: Scene;
beforeAll(() => {
  telemetry = new Telemetry();
});
afterAll(() => telemetry.close());
beforeEach(async () => {
  telemetry.instrument();
  scene = await Scene.open(new MemoryBackend());
});
afterEach(() => expect(telemetry.open).toBe(0));

const publish = (n = 1, options = {}) => scene.publisher.publish(scene.queue, { n }, options);

test('the run of a consumer is a span that begins a trace and links to the producer', async () => {
  await publish(1, { id: 'order-1', correlationId: 'checkout-7' });
  await scene.consume(() => undefined);
  const produced = telemetry.span(`publish ${scene.queue}`);
  const span = telemetry.span(`process ${scene.queue}`);
  expect(span.kind).toBe(SpanKind.CONSUMER);
  expect(linked(span)).toEqual([idOf(produced)]);
  expect(span.parentSpanContext).toBeUndefined();
  expect(span.spanContext().traceId).not.toBe(produced.spanContext().traceId);
  expect(span.status.code).toBe(SpanStatusCode.UNSET);
  expect(span.attributes).toEqual({
    'messaging.system': 'melange_memory',
    'messaging.operation.name': 'process',
    'messaging.operation.type': 'process',
    'messaging.destination.name': scene.queue,
    'messaging.message.id': 'order-1',
    'messaging.message.conversation_id': 'checkout-7',
    'melange.manifest': 'json',
    'melange.consumer': 'billing',
    'melange.attempt': 1,
    'melange.outcome': 'acknowledge',
    'melange.outcome.cause': 'processed',
  });
});

test('by option it is the child of the producer', async () => {
  telemetry.instrument({ processSpans: 'child' });
  await publish();
  await scene.consume(() => undefined);
  const produced = telemetry.span(`publish ${scene.queue}`);
  const span = telemetry.span(`process ${scene.queue}`);
  expect(span.parentSpanContext?.spanId).toBe(idOf(produced));
  expect(linked(span)).toEqual([]);
});

test('each consumer of a message has a span of its own', async () => {
  await publish();
  await scene.consume([consumer(() => undefined, 'billing'), consumer(() => undefined, 'mail')]);
  const spans = telemetry.spans(`process ${scene.queue}`);
  expect(spans.map(({ attributes }) => attributes['melange.consumer'])).toEqual(['billing', 'mail']);
});

test('the handler sees the active span, and what it publishes continues its trace', async () => {
  await publish(1);
  let active: string | undefined;
  await scene.consume(async ({ n }) => {
    if (n === 2) return;
    await Promise.resolve();
    active = trace.getActiveSpan()?.spanContext().spanId;
    await publish(2);
  }, 2);
  const [first, second] = telemetry.spans(`process ${scene.queue}`);
  const published = telemetry.spans(`publish ${scene.queue}`)[1];
  expect(active).toBe(first?.spanContext().spanId);
  expect(published?.parentSpanContext?.spanId).toBe(active);
  expect(second?.links[0]?.context.spanId).toBe(published?.spanContext().spanId);
});

test('a span that was active where the loop was started is the parent of no run', async () => {
  await publish();
  await trace.getTracer('test').startActiveSpan('start-up', {}, ROOT_CONTEXT, async (span) => {
    await scene.consume(() => undefined);
    span.end();
  });
  expect(telemetry.span(`process ${scene.queue}`).parentSpanContext).toBeUndefined();
});

test('attempts are spans of their own with what became of each: retries with their delay, at last the dead letter', async () => {
  await publish();
  await scene.consume(
    () => {
      throw new TypeError('the bank is closed');
    },
    2,
    { retry: { maxAttempts: 2, longestDelayMs: 3, delayMs: () => 3 } },
  );
  const [first, second] = telemetry.spans(`process ${scene.queue}`);
  expect(first?.attributes).toMatchObject({
    'melange.attempt': 1,
    'melange.outcome': 'retry',
    'melange.outcome.cause': 'failed',
    'melange.retry.delay_ms': 3,
    'error.type': 'TypeError',
  });
  expect(first?.status).toEqual({ code: SpanStatusCode.ERROR, message: 'the bank is closed' });
  expect(first?.events.map(({ name }) => name)).toEqual(['exception']);
  expect(second?.attributes).toMatchObject({
    'melange.attempt': 2,
    'melange.outcome': 'dead-letter',
    'melange.dead_letter.reason': 'attempts exhausted',
  });
  expect(second?.links[0]?.context.spanId).toBe(idOf(telemetry.span(`publish ${scene.queue}`)));
});

test('a handler that asks for a later call did not fail; one that rejects did', async () => {
  await publish(1);
  await publish(2);
  let deferred = false;
  await scene.consume(({ n }) => {
    if (n === 2) throw new Reject('not for us');
    if (deferred) return;
    deferred = true;
    throw new RetryLater('not yet', { delayMs: 1 });
  }, 3);
  const spans = telemetry.spans(`process ${scene.queue}`);
  const [later] = spans.filter(({ attributes }) => attributes['melange.outcome'] === 'retry');
  expect(later?.status.code).toBe(SpanStatusCode.UNSET);
  expect(later?.attributes).toMatchObject({
    'melange.outcome.cause': 'deferred',
    'melange.retry.delay_ms': 1,
  });
  const [rejected] = spans.filter(({ attributes }) => attributes['melange.outcome'] === 'dead-letter');
  expect(rejected?.status.code).toBe(SpanStatusCode.ERROR);
  expect(rejected?.attributes).toMatchObject({
    'melange.dead_letter.reason': 'rejected',
    'error.type': 'REJECTED',
  });
});

test('retries within a lane are told apart too', async () => {
  await publish(1, { key: 'k' });
  let attempts = 0;
  await scene.consume(
    () => {
      attempts += 1;
      if (attempts === 1) throw new Error('once');
    },
    2,
    { ordering: 'key' },
  );
  const spans = telemetry.spans(`process ${scene.queue}`);
  expect(
    spans.map(({ attributes }) => [attributes['melange.attempt'], attributes['melange.outcome']]),
  ).toEqual([
    [1, 'retry'],
    [2, 'acknowledge'],
  ]);
});

test('a dead letter and its redrive stay in the story of the message by links', async () => {
  await publish();
  await scene.consume(() => {
    throw new Reject('no');
  });
  await new DeadLetters({ backend: scene.backend }).redrive(scene.dead);
  await scene.consume(() => undefined);
  const produced = telemetry.span(`publish ${scene.queue}`);
  const spans = telemetry.spans(`process ${scene.queue}`);
  expect(spans.map(({ attributes }) => attributes['melange.outcome'])).toEqual([
    'dead-letter',
    'acknowledge',
  ]);
  expect(spans.flatMap(linked)).toEqual([idOf(produced), idOf(produced)]);
});

test('a run that is spared because its consumer is done is a span that says so', async () => {
  await publish(1, { id: 'same' });
  await publish(1, { id: 'same' });
  await scene.consume(() => undefined, 2, { cache: new MemoryDeduplicationCache(), concurrency: 1 });
  const spans = telemetry.spans(`process ${scene.queue}`);
  expect(spans.map(({ attributes }) => attributes['melange.deduplicated'])).toEqual([undefined, true]);
  expect(spans[1]?.attributes).toMatchObject({
    'melange.consumer': 'billing',
    'melange.outcome': 'acknowledge',
  });
});

test('a message that nobody ran is a span too, with the reason', async () => {
  const message = { manifest: 'json', serializerId: 99, key: undefined, headers: {}, publishedAt: 1 };
  await scene.backend.publishToQueue(scene.queue, [{ ...message, id: 'odd', content: '{' }]);
  await publish(1);
  await scene.consume([], 2, { concurrency: 1 });
  const spans = telemetry.spans(`process ${scene.queue}`);
  expect(spans.map(({ attributes }) => attributes['melange.dead_letter.reason']).sort()).toEqual([
    'undecodable',
    'unhandled',
  ]);
  expect(spans.every(({ status }) => status.code === SpanStatusCode.ERROR)).toBe(true);
  expect(spans.every(({ attributes }) => attributes['melange.consumer'] === undefined)).toBe(true);
});

test('a foreign message continues the trace of its producer by its traceparent', async () => {
  const foreign = { manifest: undefined, serializerId: undefined, key: undefined, publishedAt: undefined };
  const headers = { traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' };
  await scene.backend.publishToQueue(scene.queue, [{ ...foreign, id: 'f', content: '{}', headers }]);
  await scene.consume(() => undefined);
  expect(telemetry.span(`process ${scene.queue}`).links[0]?.context).toMatchObject({
    traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
    spanId: '00f067aa0ba902b7',
  });
});

test('a message without a context has no link', async () => {
  telemetry.instrument({ enabled: false });
  await publish();
  telemetry.instrument();
  await scene.consume(() => undefined);
  expect(telemetry.span(`process ${scene.queue}`).links).toEqual([]);
});

test('by option deliveries and settlements are spans too', async () => {
  telemetry.instrument({ receiveSpans: true, settleSpans: true });
  await publish(1, { id: 'order-1' });
  await scene.consume(() => undefined);
  const received = telemetry.span(`receive ${scene.queue}`);
  const processed = telemetry.span(`process ${scene.queue}`);
  const settled = telemetry.span(`acknowledge ${scene.queue}`);
  expect(received.kind).toBe(SpanKind.CLIENT);
  expect(received.attributes).toMatchObject({
    'messaging.operation.type': 'receive',
    'melange.outcome': 'acknowledge',
  });
  expect(processed.parentSpanContext?.spanId).toBe(idOf(received));
  expect(settled.kind).toBe(SpanKind.CLIENT);
  expect(settled.parentSpanContext?.spanId).toBe(idOf(processed));
  expect(settled.attributes).toMatchObject({
    'messaging.operation.name': 'acknowledge',
    'messaging.operation.type': 'settle',
    'messaging.message.id': 'order-1',
  });
  for (const span of [received, processed, settled])
    expect(linked(span)).toEqual([idOf(telemetry.span(`publish ${scene.queue}`))]);
});

test('a settlement that fails is an error of its span, and the run is unsettled', async () => {
  telemetry.instrument({ settleSpans: true });
  await publish();
  const { backend } = scene;
  const failing: typeof backend = Object.create(backend, {
    describeQueue: { value: backend.describeQueue.bind(backend) },
    subscribe: {
      value: (queue: string, options: object, receive: (delivery: object) => void) =>
        backend.subscribe(queue, options as never, (delivery) => {
          receive({
            message: delivery.message,
            attempt: 1,
            signal: delivery.signal,
            acknowledge: async () => {
              await delivery.acknowledge();
              throw new Error('connection lost');
            },
            retry: async () => undefined,
          });
        }),
    },
  });
  await scene.dispatcher(() => undefined, { backend: failing }).consumeEvent(scene.queue);
  expect(telemetry.span(`acknowledge ${scene.queue}`).status.code).toBe(SpanStatusCode.ERROR);
  const run = telemetry.span(`process ${scene.queue}`);
  expect(run.attributes['melange.outcome']).toBe('unsettled');
  expect(run.events.map(({ attributes }) => attributes?.['exception.message'])).toEqual(['connection lost']);
});
