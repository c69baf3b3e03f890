import { tracingChannel } from 'node:diagnostics_channel';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { channels, traced } from '../src/contract/instrumentation.ts';
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

test('nothing is built while nobody listens, and work that nobody watches is not wrapped', async () => {
  const context = vi.fn(
    () => ({ backend: 'memory', destination: 'orders', kind: 'queue', messages: [] }) as const,
  );
  const work = Promise.resolve('done');
  expect(traced(channels.publish, context, () => work)).toBe(work);
  expect(context).not.toHaveBeenCalled();
  const errors: unknown[] = [];
  const onlyErrors = { error: (trace: object) => void errors.push(trace) } as never;
  channels.publish.subscribe(onlyErrors);
  try {
    await expect(traced(channels.publish, context, () => Promise.reject(new Error('lost')))).rejects.toThrow(
      'lost',
    );
  } finally {
    channels.publish.unsubscribe(onlyErrors);
  }
  expect(context).toHaveBeenCalledTimes(1);
  expect(errors).toMatchObject([{ destination: 'orders', error: { message: 'lost' } }]);
});
