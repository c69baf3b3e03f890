import { MemoryBackend } from '@melange/backend-memory';
import { fixedDelays, type Logger, QueuePublisher, RetryLater, silentLogger } from '@melange/core';
import { MemoryDeduplicationCache } from '@melange/dedup-memory';
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { settled } from './support/manual-clock.ts';
import { consumer, Scene } from './support/scene.ts';
import { serializers } from './support/text-serializer.ts';

let scene: Scene;
beforeEach(async () => {
  scene = await Scene.open();
});
afterEach(() => scene.close());

describe('failures', () => {
  test('a failing message is retried, then dead-lettered with its circumstances', async () => {
    await scene.publish(1);
    const attempts: number[] = [];
    const stop = new AbortController();
    const failing = scene.dispatcher((_, { attempt }) => {
      attempts.push(attempt);
      throw new Error('declined');
    });
    const running = failing.consumeLoop('orders', { signal: stop.signal });
    await settled();
    await scene.clock.advance(99);
    expect(attempts).toEqual([1]);
    await scene.clock.advance(1);
    await scene.clock.advance(100);
    expect(attempts).toEqual([1, 2, 3]);
    stop.abort();
    await running;
    expect(failing.counters).toMatchObject({ retried: 2, deadLettered: 1, acknowledged: 0 });
    const headers: Record<string, string>[] = [];
    const reader = scene.dispatcher((_, context) => headers.push({ ...context.headers }));
    await reader.consumeEvent('dead');
    expect(headers).toEqual([
      expect.objectContaining({
        melange_reason: 'attempts exhausted',
        melange_error_message: 'declined',
        melange_attempts: '3',
        melange_source_queue: 'orders',
        melange_consumer: 'consumer',
      }),
    ]);
  });

  test.each(['none', 'key'] as const)(
    'a wait that a handler asked for is no attempt, with ordering %s',
    async (ordering) => {
      await scene.publish(1, () => 'k');
      const attempts: number[] = [];
      const stop = new AbortController();
      const patient = scene.dispatcher(
        (_, { attempt }) => {
          attempts.push(attempt);
          if (attempts.length <= 5) throw new RetryLater('later', { delayMs: 1_000 });
          throw new Error('declined');
        },
        { ordering },
      );
      const running = patient.consumeLoop('orders', { signal: stop.signal });
      await settled();
      await scene.clock.advance(10_000);
      expect(attempts).toEqual([1, 1, 1, 1, 1, 1, 2, 3]);
      expect(patient.counters).toMatchObject({ retried: 7, deadLettered: 1 });
      stop.abort();
      await running;
    },
  );

  test('onException sees every error with its context; its own throwing never stops the loop', async () => {
    await scene.publish(2);
    const contexts: unknown[] = [];
    const failing = scene.dispatcher(
      () => {
        throw new Error('declined');
      },
      { retry: fixedDelays([]) },
    );
    const onException = (_error: unknown, context: unknown) => {
      contexts.push(context);
      throw new Error('the callback is broken');
    };
    const afterConsume = vi.fn(() => {
      throw new Error('the callback is broken');
    });
    await failing.consumeEvent('orders', { onException, afterConsume });
    expect(contexts).toHaveLength(2);
    expect(contexts[0]).toMatchObject({ queue: 'orders', attempt: 1, consumer: 'consumer' });
    expect(afterConsume).toHaveBeenCalledTimes(2);
    expect(await scene.depth('dead')).toBe(2);
  });

  test('callbacks that fail later change nothing either, and are logged', async () => {
    await scene.publish(1);
    const error = vi.fn();
    const broken = async (): Promise<void> => {
      await settled();
      throw new Error('the callback is broken');
    };
    const failing = scene.dispatcher(() => Promise.reject(new Error('declined')), {
      retry: fixedDelays([]),
      logger: { ...silentLogger, error },
    });
    await failing.consumeEvent('orders', { onException: broken, afterConsume: broken });
    const reported = () => error.mock.calls.filter(([line]) => /callback/.test(line)).length;
    await vi.waitFor(() => expect(reported()).toBe(2));
  });

  test('a logger that throws stops nothing, and what it was told goes to standard error', async () => {
    await scene.publish(2);
    const written = vi.spyOn(console, 'error').mockImplementation(() => undefined);
    onTestFinished(() => written.mockRestore());
    const logger: Logger = {
      ...silentLogger,
      error() {
        throw new Error('disk full');
      },
    };
    const failing = scene.dispatcher(() => Promise.reject(new Error('declined')), {
      retry: fixedDelays([]),
      logger,
    });
    await failing.consumeEvent('orders');
    expect(await scene.depth('dead')).toBe(2);
    expect(written).toHaveBeenCalledTimes(2);
    expect(written.mock.calls[0]?.[0]).toContain('declined');
  });

  test('a half-done message runs only the consumer that is not done, with a cache', async () => {
    await scene.publish(1);
    const runs: string[] = [];
    let broken = true;
    const both = scene.dispatcher(() => void runs.push('first'), {
      cache: new MemoryDeduplicationCache({ clock: scene.clock }),
    });
    both.attachConsumer(
      consumer(() => {
        runs.push('second');
        if (broken) throw new Error('declined');
      }, 'second'),
    );
    await both.consumeEvent('orders');
    broken = false;
    await scene.clock.advance(100);
    await both.consumeEvent('orders');
    expect(runs).toEqual(['first', 'second', 'second']);
    expect(both.counters).toMatchObject({ duplicates: 1, acknowledged: 1 });
  });

  test('a handler past its timeout has its signal aborted, and its outcome still counts', async () => {
    await scene.publish(1);
    let reason: unknown;
    const slow = scene.dispatcher(
      (_, { signal }) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => {
            reason = signal.reason;
            reject(signal.reason);
          });
        }),
      { handlerTimeoutMs: 500, retry: fixedDelays([]) },
    );
    const running = slow.consumeEvent('orders');
    await settled();
    await scene.clock.advance(500);
    await running;
    expect(reason).toMatchObject({ reason: 'timeout' });
    expect(await scene.depth('dead')).toBe(1);
  });
});

test('what cannot be acknowledged before it is processed is not processed: it comes again', async () => {
  await scene.publish(1);
  let failures = 1;
  const backend = scene.withDeliveries((delivery) => ({
    acknowledge: () => {
      failures -= 1;
      return failures >= 0 ? Promise.reject(new Error('the connection broke')) : delivery.acknowledge();
    },
  }));
  const attempts: number[] = [];
  const onException = vi.fn();
  const stop = new AbortController();
  const eager = scene.dispatcher((_, { attempt }) => attempts.push(attempt), { backend, earlyAck: true });
  const running = eager.consumeLoop('orders', { signal: stop.signal, onException });
  await settled();
  expect(attempts).toEqual([]);
  expect(onException.mock.calls).toMatchObject([[{ message: 'the connection broke' }, { queue: 'orders' }]]);
  await scene.clock.advance(100);
  expect(attempts).toEqual([1]);
  stop.abort();
  await running;
});

test('a message whose acknowledgement failed comes again as the same attempt: its run did not fail', async () => {
  await scene.publish(1);
  const causes: unknown[] = [];
  const backend = scene.withDeliveries((delivery) => ({
    acknowledge: () => Promise.reject(new Error('the connection broke')),
    retry: (options) => {
      causes.push(options?.because);
      return delivery.retry(options);
    },
  }));
  await scene.dispatcher(() => undefined, { backend }).consumeEvent('orders');
  expect(causes).toEqual(['deferred']);
});

test('a delivery that cannot be dead-lettered comes again after the longest delay, and keeps no place', async () => {
  // Its backend says that there is a dead-letter queue, and finds out otherwise.
  const misled = new MemoryBackend({ clock: scene.clock });
  await misled.declareQueue('orders');
  const describeQueue = misled.describeQueue.bind(misled);
  misled.describeQueue = async (name) => ({ ...(await describeQueue(name)), deadLetterQueue: 'dead' });
  await new QueuePublisher({ backend: misled, serializers, clock: scene.clock }).publishBatch('orders', [
    { value: { n: 0 } },
    { value: { n: 1 } },
  ]);
  const attempts: string[] = [];
  const onException = vi.fn();
  const stop = new AbortController();
  const dispatcher = scene.dispatcher(
    ({ n }, { attempt }) => {
      attempts.push(`${n} ${attempt}`);
      if (n === 0) throw new Error('declined');
    },
    { backend: misled, concurrency: 1, retry: { ...fixedDelays([]), longestDelayMs: 5_000 } },
  );
  const running = dispatcher.consumeLoop('orders', { signal: stop.signal, onException });
  await settled();
  expect(attempts).toEqual(['0 1', '1 1']);
  expect(onException.mock.lastCall?.[0]).toMatchObject({ code: 'CONFIGURATION' });
  expect(dispatcher.counters).toMatchObject({ deadLettered: 0, acknowledged: 1 });
  await scene.clock.advance(4_999);
  expect(attempts).toEqual(['0 1', '1 1']);
  await scene.clock.advance(1);
  expect(attempts).toEqual(['0 1', '1 1', '0 2']);
  stop.abort();
  await running;
  await misled.close();
});
