import {
  exponentialBackoff,
  fixedDelays,
  MelangeError,
  type MessageDispatcherOptions,
  Reject,
  RetryLater,
  TopicPublisher,
} from '@melange/core';
import { MemoryDeduplicationCache } from '@melange/dedup-memory';
import { describe, expect, test } from 'vitest';
import { settled } from './support/manual-clock.ts';
import { Scene } from './support/scene.ts';
import { serializers } from './support/text-serializer.ts';

const senseless = [Number.NaN, Number.POSITIVE_INFINITY, -1];
const refused = (call: () => unknown, name: RegExp) => {
  expect(call).toThrow(expect.objectContaining({ code: 'CONFIGURATION' }));
  expect(call).toThrow(name);
};

describe('a number that makes no sense is refused, and named', () => {
  test.each(senseless)('by RetryLater: %d', (delayMs) => {
    refused(() => new RetryLater('later', { delayMs }), /delayMs of RetryLater/);
  });

  test('by RetryLater, where it is missing', () => {
    refused(() => new RetryLater('later', undefined as never), /delayMs of RetryLater .* not undefined/);
    refused(() => new RetryLater('later', {} as never), /delayMs of RetryLater .* not undefined/);
  });

  test('RetryLater and Reject take their reason and their cause alike', () => {
    const cause = new Error('ECONNRESET');
    for (const error of [new RetryLater('closed', { delayMs: 5, cause }), new Reject('closed', { cause })])
      expect(error).toMatchObject({ message: 'closed', cause });
  });

  test.each(senseless)('by the retry policies: %d', (value) => {
    refused(() => exponentialBackoff({ firstDelayMs: value }), /firstDelayMs/);
    refused(() => exponentialBackoff({ longestDelayMs: value }), /longestDelayMs/);
    refused(() => exponentialBackoff({ factor: value }), /factor/);
    refused(() => exponentialBackoff({ jitter: value }), /jitter/);
    refused(() => fixedDelays([10, value]), /delaysMs\[1\]/);
  });

  test.each([Number.NaN, 0, 1.5, -1])('by the number of attempts: %d', (maxAttempts) => {
    refused(() => exponentialBackoff({ maxAttempts }), /maxAttempts/);
    expect(exponentialBackoff({ maxAttempts: Number.POSITIVE_INFINITY }).maxAttempts).toBe(Infinity);
  });

  test.each(senseless)('by a dispatcher: %d', async (value) => {
    const scene = await Scene.open();
    const dispatcher = (options: Partial<MessageDispatcherOptions>) =>
      scene.dispatcher(() => undefined, options);
    refused(() => dispatcher({ concurrency: value }), /concurrency/);
    refused(() => dispatcher({ concurrency: 1.5 }), /concurrency/);
    refused(() => dispatcher({ handlerTimeoutMs: value }), /handlerTimeoutMs/);
    const cache = new MemoryDeduplicationCache();
    refused(() => dispatcher({ cache, deduplication: { leaseMs: value } }), /leaseMs/);
    refused(() => dispatcher({ cache, deduplication: { timeoutMs: value } }), /timeoutMs/);
    const policy = { maxAttempts: 3, longestDelayMs: 1, delayMs: () => 1 };
    refused(() => dispatcher({ retry: { ...policy, longestDelayMs: value } }), /longestDelayMs/);
    refused(() => dispatcher({ retry: { ...policy, maxAttempts: Number.NaN } }), /maxAttempts/);
    const consuming = dispatcher({}).consumeLoop('orders', { deadlineMs: value });
    await expect(consuming).rejects.toMatchObject({ code: 'CONFIGURATION' });
    await expect(dispatcher({}).close({ deadlineMs: value })).rejects.toMatchObject({
      code: 'CONFIGURATION',
    });
    await scene.close();
  });
});

test('a backoff that begins at nothing stays a number, however many attempts there are', () => {
  const policy = exponentialBackoff({ firstDelayMs: 0 });
  for (const attempt of [1, 2, 1_024, 1_025, 5_000]) expect(policy.delayMs(attempt, 0.5)).toBe(0);
  const growing = exponentialBackoff({ firstDelayMs: 1, longestDelayMs: 60_000, jitter: 0 });
  for (const attempt of [1_025, 5_000]) expect(growing.delayMs(attempt, 0.5)).toBe(60_000);
});

test('fixedDelays takes a list of any length', () => {
  const delays = new Array<number>(300_000).fill(7);
  expect(fixedDelays(delays)).toMatchObject({ maxAttempts: 300_001, longestDelayMs: 7 });
});

test('what a policy of one’s own answers is no number: the message waits the longest delay, and that is reported', async () => {
  const scene = await Scene.open();
  await scene.publish(1);
  let runs = 0;
  const errors: unknown[] = [];
  const failing = scene.dispatcher(
    () => {
      runs += 1;
      if (runs === 1) throw new Error('declined');
    },
    { retry: { maxAttempts: 5, longestDelayMs: 500, delayMs: () => Number.NaN } },
  );
  const running = failing.consumeLoop('orders', { onException: (error) => void errors.push(error) });
  await settled();
  await scene.clock.advance(499);
  expect(runs).toBe(1);
  await scene.clock.advance(1);
  expect(runs).toBe(2);
  expect(errors.filter((error) => MelangeError.is(error, 'CONFIGURATION'))).toHaveLength(1);
  await failing.close();
  await running;
  await scene.close();
});

test.each(senseless)(
  'publishers refuse a delay or a deadline of %d before anything is sent',
  async (value) => {
    const scene = await Scene.open();
    const refusal = { code: 'CONFIGURATION' };
    const { publisher } = scene;
    await expect(publisher.publish('orders', { n: 1 }, { delayMs: value })).rejects.toMatchObject(refusal);
    await expect(
      publisher.publishBatch('orders', [{ value: { n: 1 } }], { deadlineMs: value }),
    ).rejects.toMatchObject(refusal);
    const topics = new TopicPublisher({ backend: scene.backend, serializers });
    await scene.backend.declareTopic('topic');
    await expect(topics.publish('topic', { n: 1 }, { deadlineMs: value })).rejects.toMatchObject(refusal);
    expect(await scene.depth()).toBe(0);
    await scene.close();
  },
);
