import { AsyncLocalStorage } from 'node:async_hooks';
import { channel, tracingChannel } from 'node:diagnostics_channel';
import type { ConsumeTrace, ErrorTrace, Surroundable } from '@melange/core';
import { MemoryDeduplicationCache } from '@melange/dedup-memory';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { channels, type ProcessTrace, type PublishTrace, traced } from '../src/contract/instrumentation.ts';
import { Scene } from './support/scene.ts';

let scene: Scene;
beforeEach(async () => {
  scene = await Scene.open();
});
afterEach(() => scene.close());

test('publish, receive, process and settle are visible through tracing channels', async () => {
  const events: string[] = [];
  const unsubscribe: (() => void)[] = [];
  for (const name of ['publish', 'receive', 'process', 'settle']) {
    const channel = tracingChannel(`melange.${name}`);
    const ignore = () => undefined;
    const handlers = {
      start: () => void events.push(`${name} start`),
      asyncEnd: () => void events.push(`${name} end`),
      end: ignore,
      asyncStart: ignore,
      error: ignore,
    };
    channel.subscribe(handlers);
    unsubscribe.push(() => channel.unsubscribe(handlers));
  }
  try {
    await scene.publish(1);
    await scene.dispatcher(() => undefined).consumeEvent('orders');
  } finally {
    for (const stop of unsubscribe) stop();
  }
  expect(events).toEqual([
    'publish start',
    'publish end',
    'receive start',
    'process start',
    'process end',
    'settle start',
    'settle end',
    'receive end',
  ]);
});

test('work that nobody watches is not wrapped, and one listener of one kind is enough to see it', async () => {
  const trace: PublishTrace = { backend: 'memory', destination: 'orders', kind: 'queue', messages: [] };
  const work = Promise.resolve('done');
  expect(traced(channels.publish, trace, () => work)).toBe(work);
  const errors: unknown[] = [];
  const onlyErrors = { error: (failed: object) => void errors.push(failed) } as never;
  channels.publish.subscribe(onlyErrors);
  try {
    await expect(traced(channels.publish, trace, () => Promise.reject(new Error('lost')))).rejects.toThrow(
      'lost',
    );
  } finally {
    channels.publish.unsubscribe(onlyErrors);
  }
  expect(errors).toMatchObject([{ destination: 'orders', error: { message: 'lost' } }]);
});

function onStart<Trace>(name: string, start: (trace: Trace) => void): () => void {
  const handlers = { start } as never;
  tracingChannel(name).subscribe(handlers);
  return () => void tracingChannel(name).unsubscribe(handlers);
}

test('a subscriber puts messages with further headers in place of those that are published', async () => {
  const stop = onStart('melange.publish', ({ messages }: PublishTrace) => {
    messages.forEach((message, index) => {
      messages[index] = { ...message, headers: { ...message.headers, traceparent: `of ${index}` } };
    });
  });
  const seen: unknown[] = [];
  try {
    await scene.publisher.publishBatch('orders', [
      { value: { n: 1 }, headers: { tenant: 'acme' } },
      { value: { n: 2 } },
    ]);
  } finally {
    stop();
  }
  await scene.dispatcher((_, { headers }) => seen.push(headers)).consumeEvent('orders');
  expect(seen).toEqual([{ tenant: 'acme', traceparent: 'of 0' }, { traceparent: 'of 1' }]);
});

test('a subscriber runs the work inside of something of its own', async () => {
  const active = new AsyncLocalStorage<string>();
  const surround =
    (name: string) =>
    (trace: Surroundable): void => {
      trace.around = (work) => active.run(name, work);
    };
  const stops = ['publish', 'process'].map((name) => onStart(`melange.${name}`, surround(name)));
  const seen: unknown[] = [];
  const publishing = scene.backend.publishToQueue.bind(scene.backend);
  scene.backend.publishToQueue = (...call) => {
    seen.push(active.getStore());
    return publishing(...call);
  };
  try {
    await scene.publish(1);
    await scene.dispatcher(() => seen.push(active.getStore())).consumeEvent('orders');
  } finally {
    for (const stop of stops) stop();
  }
  expect(seen).toEqual(['publish', 'process']);
  expect(active.getStore()).toBeUndefined();
});

test('loops, duplicates and errors are visible through channels, each with what is needed to tell of it', async () => {
  const events: unknown[] = [];
  const onDuplicate = (trace: unknown): void => {
    const { queue, consumer, attempt, message } = trace as ProcessTrace;
    events.push({ duplicate: message.id, queue, consumer, attempt });
  };
  const onError = (trace: unknown): void => {
    const { queue, consumer, delivery, error } = trace as ErrorTrace;
    events.push({ error: String(error), queue, consumer, of: delivery?.message.id });
  };
  const stop = onStart('melange.consume', ({ queue, backend, inFlight }: ConsumeTrace) => {
    events.push({ consumes: queue, from: backend.name, inFlight: inFlight() });
  });
  channel('melange.duplicate').subscribe(onDuplicate);
  channel('melange.error').subscribe(onError);
  try {
    await scene.publisher.publish('orders', { n: 1 }, { id: 'one' });
    await scene.publisher.publish('orders', { n: 1 }, { id: 'one' });
    await scene.publisher.publish('orders', { n: 2 }, { id: 'two' });
    await scene
      .dispatcher(
        ({ n }) => {
          if (n === 2) throw new Error('the bank is closed');
        },
        { cache: new MemoryDeduplicationCache(), concurrency: 1 },
      )
      .consumeEvent('orders');
  } finally {
    stop();
    channel('melange.duplicate').unsubscribe(onDuplicate);
    channel('melange.error').unsubscribe(onError);
  }
  expect(events).toEqual([
    { consumes: 'orders', from: 'memory', inFlight: 0 },
    { duplicate: 'one', queue: 'orders', consumer: 'consumer', attempt: 1 },
    { error: 'Error: the bank is closed', queue: 'orders', consumer: 'consumer', of: 'two' },
  ]);
});
