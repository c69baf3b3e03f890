import { type Logger, SimpleMessageDispatcher } from '@melange/core';
import { expect, test } from 'vitest';
import { AwayCache } from './support/away-cache.ts';
import type { ManualClock } from './support/manual-clock.ts';
import { consumer, Scene } from './support/scene.ts';

const hourMs = 3_600_000;

/**
 * A queue in order of its keys, with a key that stands still, a claim that is renewed, a handler past its
 * timeout, an outage of the cache, and a stop with a deadline. Answers all that happens, with its time.
 *
 * @param step called once a second.
 */
async function course(step: (clock: ManualClock) => void): Promise<string[]> {
  const scene = await Scene.open();
  const { clock } = scene;
  const began = clock.monotonicNow();
  const events: string[] = [];
  const note = (text: string): void => void events.push(`${clock.monotonicNow() - began} ms: ${text}`);
  const line = (text: string, facts?: Readonly<Record<string, unknown>>): void =>
    note(`${text} ${facts?.messageId ?? facts?.afterMs ?? ''}`);
  const logger: Logger = { debug: line, info: line, warn: line, error: line };
  const cache = new AwayCache(clock);
  cache.isAway = false;
  const sleeping = (signal: AbortSignal): Promise<void> =>
    new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  const fails = consumer(async ({ n }, { attempt, key, signal }) => {
    note(`runs ${n} of ${key}, attempt ${attempt}`);
    signal.addEventListener('abort', () => note(`aborts ${n}: ${String(signal.reason)}`));
    if (key === 'stands' && clock.monotonicNow() - began < 70_000) throw new Error('not yet');
    if (key === 'deaf' && attempt === 1) await sleeping(signal);
    if (key === 'long' || key === 'last')
      await new Promise<void>((resolve) => clock.schedule(resolve, 9_000));
  });
  const dispatcher = new SimpleMessageDispatcher(fails, {
    ...scene.options,
    // As RabbitMQ does it: keys mean nothing to the broker, and the messages of one key fill the window.
    backend: scene.withDeliveries(({ message }) => ({ message: { ...message, key: message.headers.lane } })),
    retry: {
      maxAttempts: 1_000,
      longestDelayMs: 3_000,
      delayMs: (attempt) => Math.min(attempt * 700, 3_000),
    },
    cache,
    deduplication: { leaseMs: 1_500 },
    ordering: 'key',
    concurrency: 2,
    handlerTimeoutMs: 12_000,
    logger,
  });
  const publish = (ids: readonly string[], key: string) =>
    scene.publisher.publishBatch(
      'orders',
      ids.map((id, n) => ({ id, value: { n } })),
      { headers: { lane: key } },
    );
  const stop = new AbortController();
  const running = dispatcher.consumeLoop('orders', { signal: stop.signal, deadlineMs: 4_000 });
  await publish(
    Array.from({ length: 30 }, (_, n) => `s${n}`),
    'stands',
  );
  await publish(['deaf'], 'deaf');
  await publish(['long'], 'long');
  for (let second = 0; second < 90; second += 1) {
    step(clock);
    await clock.advance(1_000);
    const { status, detail = '' } = await dispatcher.health();
    note(`${status} ${detail}`);
    // Its claim is held when the cache goes away, and ends with its lease.
    if (second === 12) await publish(['held'], 'long');
    if (second === 14) cache.isAway = true;
    if (second === 50) cache.isAway = false;
    if (second === 75) await publish(['last'], 'last');
    if (second === 78) stop.abort();
  }
  await running;
  await scene.close();
  return events;
}

test('a wall clock that steps by an hour, back or forth, changes no retry, lease, timeout, outage, key that stands still or deadline', async () => {
  const steady = await course(() => undefined);
  const parts = [
    /took over 12000 ms/,
    /aborts 0: .*claim of "consumer" on message held was lost/,
    /unhealthy .*unreachable for 3\d s/,
    /answers again/,
    /degraded .*stands still for 6\d s, 30 messages are parked/,
    /Not finished within 4000 ms/,
  ];
  for (const part of parts) expect(steady.filter((event) => part.test(event))).not.toEqual([]);
  expect(await course((clock) => clock.step(hourMs))).toEqual(steady);
  expect(await course((clock) => clock.step(-hourMs))).toEqual(steady);
  const swings = (clock: ManualClock) => clock.step(clock.monotonicNow() % 2_000 < 1_000 ? hourMs : -hourMs);
  expect(await course(swings)).toEqual(steady);
});
