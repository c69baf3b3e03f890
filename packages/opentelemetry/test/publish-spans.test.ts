import { MemoryBackend } from '@melange/backend-memory';
import { TopicPublisher } from '@melange/core';
import { context, propagation, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { Scene, serializers } from './support/scene.ts';
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

async function headersOf(messages: number): Promise<Readonly<Record<string, string>>[]> {
  const headers: Readonly<Record<string, string>>[] = [];
  await scene.consume((_, { headers: received }) => headers.push(received), messages);
  return headers;
}

test('a publish is a producer span, child of the active one, whose context the message carries beside its headers', async () => {
  await trace.getTracer('test').startActiveSpan('checkout', async (span) => {
    const options = { id: 'order-1', headers: { tenant: 'acme' }, correlationId: 'checkout-7' };
    await scene.publisher.publish(scene.queue, { n: 1 }, options);
    span.end();
  });
  const span = telemetry.span(`publish ${scene.queue}`);
  expect(span.kind).toBe(SpanKind.PRODUCER);
  expect(span.parentSpanContext?.spanId).toBe(idOf(telemetry.span('checkout')));
  expect(span.attributes).toEqual({
    'messaging.system': 'melange_memory',
    'messaging.operation.name': 'publish',
    'messaging.operation.type': 'send',
    'messaging.destination.name': scene.queue,
    'melange.destination.kind': 'queue',
    'messaging.message.id': 'order-1',
    'messaging.message.conversation_id': 'checkout-7',
    'melange.manifest': 'json',
  });
  const { traceId, spanId } = span.spanContext();
  expect(await headersOf(1)).toEqual([
    { tenant: 'acme', correlationId: 'checkout-7', traceparent: `00-${traceId}-${spanId}-01` },
  ]);
  expect(span.instrumentationScope.name).toBe('@melange/opentelemetry');
});

test('baggage travels with the message', async () => {
  const baggage = propagation.createBaggage({ tenant: { value: 'acme' } });
  await context.with(propagation.setBaggage(context.active(), baggage), () =>
    scene.publisher.publish(scene.queue, { n: 1 }),
  );
  let seen: string | undefined;
  await scene.consume(() => {
    seen = propagation.getActiveBaggage()?.getEntry('tenant')?.value;
  });
  expect(seen).toBe('acme');
});

test('a publish that fails is an error, and one that throws at once leaves no span open', async () => {
  await expect(scene.publisher.publish('no-such-queue', { n: 1 })).rejects.toThrow();
  const span = telemetry.span('publish no-such-queue');
  expect(span.status.code).toBe(SpanStatusCode.ERROR);
  expect(span.attributes['error.type']).toBe('QUEUE_NOT_FOUND');
  expect(span.events.map(({ name }) => name)).toEqual(['exception']);

  const { backend } = scene;
  backend.publishToQueue = () => {
    throw new TypeError('not even a promise');
  };
  await expect(scene.publisher.publish(scene.queue, { n: 1 })).rejects.toThrow('not even a promise');
  expect(telemetry.span(`publish ${scene.queue}`).attributes['error.type']).toBe('TypeError');
  expect(telemetry.open).toBe(0);
});

test('a topic is a destination of another kind', async () => {
  await scene.backend.declareTopic('events');
  await new TopicPublisher({ backend: scene.backend, serializers }).publish('events', { n: 1 });
  expect(telemetry.span('publish events').attributes).toMatchObject({ 'melange.destination.kind': 'topic' });
});

test('a batch is one span that links to a context of its own for each message', async () => {
  await scene.publisher.publishBatch(scene.queue, [
    { value: { n: 1 }, id: 'a' },
    { value: { n: 2 }, id: 'b' },
  ]);
  const created = telemetry.spans(`create ${scene.queue}`);
  const span = telemetry.span(`publish ${scene.queue}`);
  expect(created.map(({ kind }) => kind)).toEqual([SpanKind.PRODUCER, SpanKind.PRODUCER]);
  expect(created.map(({ attributes }) => attributes['messaging.message.id'])).toEqual(['a', 'b']);
  expect(created[0]?.attributes).toMatchObject({
    'messaging.operation.name': 'create',
    'messaging.operation.type': 'create',
  });
  expect(span.kind).toBe(SpanKind.CLIENT);
  expect(linked(span)).toEqual(created.map(idOf));
  expect(span.links.map(({ attributes }) => attributes?.['messaging.message.id'])).toEqual(['a', 'b']);
  expect(span.attributes['messaging.batch.message_count']).toBe(2);
  expect(span.attributes['messaging.message.id']).toBeUndefined();
  const headers = await headersOf(2);
  expect(headers.map(({ traceparent }) => traceparent?.split('-')[2])).toEqual(created.map(idOf));
});

test('without spans of creation the messages of a batch carry the context of its one span', async () => {
  telemetry.instrument({ createSpans: false });
  await scene.publisher.publishBatch(scene.queue, [{ value: { n: 1 } }, { value: { n: 2 } }]);
  const span = telemetry.span(`publish ${scene.queue}`);
  expect(span.kind).toBe(SpanKind.PRODUCER);
  expect(telemetry.spans()).toHaveLength(1);
  const headers = await headersOf(2);
  expect(headers.map(({ traceparent }) => traceparent?.split('-')[2])).toEqual([idOf(span), idOf(span)]);
});

test('a context that the application gave a message stays, and the publish links to it', async () => {
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
  await scene.publisher.publish(scene.queue, { n: 1 }, { headers: { traceparent } });
  const single = telemetry.span(`publish ${scene.queue}`);
  expect(linked(single)).toEqual(['00f067aa0ba902b7']);
  expect(single.kind).toBe(SpanKind.CLIENT);
  await scene.publisher.publishBatch(scene.queue, [
    { value: { n: 2 }, headers: { traceparent } },
    { value: { n: 3 } },
  ]);
  const batch = telemetry.spans(`publish ${scene.queue}`).at(-1);
  expect(linked(batch ?? single)).toEqual([
    '00f067aa0ba902b7',
    idOf(telemetry.span(`create ${scene.queue}`)),
  ]);
  const headers = await headersOf(3);
  expect(headers.slice(0, 2)).toEqual([{ traceparent }, { traceparent }]);
  expect(headers[2]?.traceparent).not.toBe(traceparent);
});

test('an empty batch is no span', async () => {
  await scene.publisher.publishBatch(scene.queue, []);
  expect(telemetry.spans()).toEqual([]);
});

test('the names of version 1.24 are written too where OTEL_SEMCONV_STABILITY_OPT_IN asks for both', async () => {
  process.env.OTEL_SEMCONV_STABILITY_OPT_IN = 'http,messaging/dup';
  try {
    telemetry.instrument();
  } finally {
    delete process.env.OTEL_SEMCONV_STABILITY_OPT_IN;
  }
  await scene.publisher.publish(scene.queue, { n: 1 });
  await scene.consume(() => undefined);
  expect(telemetry.span(`publish ${scene.queue}`).attributes).toMatchObject({
    'messaging.operation': 'publish',
    'messaging.operation.type': 'send',
  });
  expect(telemetry.span(`process ${scene.queue}`).attributes['messaging.operation']).toBe('process');
});

test('what is disabled records nothing and leaves headers alone, until it is enabled again', async () => {
  const instrumentation = telemetry.instrument({ enabled: false });
  expect(instrumentation.isEnabled()).toBe(false);
  await scene.publisher.publish(scene.queue, { n: 1 });
  expect(await headersOf(1)).toEqual([{}]);
  expect(telemetry.spans()).toEqual([]);
  instrumentation.enable();
  instrumentation.enable();
  await scene.publisher.publish(scene.queue, { n: 2 });
  expect(telemetry.spans()).toHaveLength(1);
  instrumentation.disable();
  await scene.publisher.publish(scene.queue, { n: 3 });
  expect(telemetry.spans()).toHaveLength(1);
});
