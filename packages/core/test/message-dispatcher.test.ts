import { tracingChannel } from 'node:diagnostics_channel';
import { MemoryBackend } from '@melange/backend-memory';
import {
  BackendManager,
  type ConsumeContext,
  type Consumer,
  fixedDelays,
  type Logger,
  MessageDispatcher,
  type MessageDispatcherOptions,
  QueuePublisher,
  SimpleMessageDispatcher,
  silentLogger,
} from '@melange/core';
import { MemoryDeduplicationCache } from '@melange/dedup-memory';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { ManualClock, settled } from './support/manual-clock.ts';
import { serializers } from './support/text-serializer.ts';

let clock: ManualClock;
let backend: MemoryBackend;
let publisher: QueuePublisher<MemoryBackend['capabilities']>;

beforeEach(async () => {
  clock = new ManualClock();
  backend = new MemoryBackend({ clock });
  publisher = new QueuePublisher({ backend, serializers, clock });
  await backend.declareQueue('orders', { deadLetterQueue: 'dead' });
});

afterEach(() => backend.close());

type Process = (message: { n: number }, context: ConsumeContext) => unknown;

function consumer(process: Process, name = 'consumer'): Consumer {
  return {
    name,
    accepts: () => true,
    process: async (message, context) => void (await process(message as { n: number }, context)),
  };
}

function dispatcher(process: Process, options: Partial<MessageDispatcherOptions> = {}): MessageDispatcher {
  return new SimpleMessageDispatcher(consumer(process), {
    backend,
    serializers,
    clock,
    logger: silentLogger,
    retry: fixedDelays([100, 100]),
    random: () => 0,
    ...options,
  });
}

async function publish(count: number, key?: (n: number) => string): Promise<void> {
  const batch = Array.from({ length: count }, (_, n) => ({ value: { n }, ...(key && { key: key(n) }) }));
  await publisher.publishBatch('orders', batch);
}

/** A handler that runs until it is told to finish. */
function gate(): { readonly passed: Promise<void>; open(): void } {
  let open = (): void => undefined;
  const passed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { passed, open: () => open() };
}

async function depth(queue = 'orders'): Promise<number> {
  return (await backend.describeQueue(queue)).depth;
}

describe('consumption', () => {
  test('consumeLoop processes what comes until it is aborted', async () => {
    const seen: number[] = [];
    const stop = new AbortController();
    const running = dispatcher(({ n }) => seen.push(n)).consumeLoop('orders', { signal: stop.signal });
    await publish(3);
    await settled();
    await publish(2);
    await settled();
    stop.abort();
    await running;
    expect(seen).toEqual([0, 1, 2, 0, 1]);
    expect(await depth()).toBe(0);
  });

  test('consumeEvent processes what is there now, then returns', async () => {
    await publish(25);
    const counted = dispatcher(() => undefined);
    await counted.consumeEvent('orders');
    expect(counted.counters).toMatchObject({ received: 25, acknowledged: 25 });
    expect(await depth()).toBe(0);
  });

  test.each([
    [{ status: 'degraded', detail: 'nearly full' }],
    [{ status: 'unhealthy', detail: 'cannot be reached' }],
  ] as const)('a cache that is %j is a health state of the dispatcher', async (state) => {
    const cache = new MemoryDeduplicationCache();
    cache.health = () => state;
    expect(await dispatcher(() => undefined, { cache }).health()).toMatchObject(state);
  });

  test('a dispatcher that consumes again and again keeps nothing of the runs that are over', async () => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning);
    process.on('warning', onWarning);
    try {
      const again = dispatcher(() => undefined);
      // One more than Node allows listeners without a warning.
      for (let run = 0; run < 12; run += 1) await again.consumeEvent('orders');
      await new Promise((resolve) => setImmediate(resolve));
      expect(warnings).toEqual([]);
    } finally {
      process.off('warning', onWarning);
    }
  });

  test('a queue that does not exist is an error, and a health state', async () => {
    const looking = dispatcher(() => undefined);
    await expect(looking.consumeLoop('nowhere')).rejects.toMatchObject({ code: 'QUEUE_NOT_FOUND' });
    expect(await looking.health()).toMatchObject({
      status: 'unhealthy',
      loops: [{ queue: 'nowhere', failed: expect.stringMatching(/nowhere/) }],
    });
  });

  test('concurrency bounds the handlers, and backpressure the deliveries', async () => {
    await publish(20);
    const gates = Array.from({ length: 20 }, gate);
    let running = 0;
    let most = 0;
    const bounded = dispatcher(
      async ({ n }) => {
        running += 1;
        most = Math.max(most, running);
        await gates[n]?.passed;
        running -= 1;
      },
      { concurrency: 4 },
    );
    const all = bounded.consumeEvent('orders');
    await settled();
    expect([running, bounded.counters.received, await depth()]).toEqual([4, 4, 16]);
    for (const { open } of gates) open();
    await all;
    expect(most).toBe(4);
  });

  test('two consumers of one name are refused, the same one twice is not', () => {
    const twice = new MessageDispatcher({ backend, serializers });
    const one = consumer(() => undefined);
    twice.attachConsumer(one);
    twice.attachConsumer(one);
    expect(() => twice.attachConsumer(consumer(() => undefined))).toThrow(
      expect.objectContaining({ code: 'CONSUMER_DUPLICATE' }),
    );
    twice.unattachConsumer(one);
    twice.attachConsumer(consumer(() => undefined));
  });

  test('the default backend is that of BackendManager', async () => {
    expect(() => new MessageDispatcher({ serializers })).toThrow(/No backend/);
    BackendManager.setDefaultBackend(backend);
    try {
      await publish(1);
      const seen: unknown[] = [];
      const defaulted = new SimpleMessageDispatcher(
        consumer((message) => seen.push(message)),
        { serializers },
      );
      await defaulted.consumeEvent('orders');
      expect(seen).toHaveLength(1);
    } finally {
      BackendManager.setDefaultBackend(undefined);
    }
  });
});

describe('failures', () => {
  test('a failing message is retried, then dead-lettered with its circumstances', async () => {
    await publish(1);
    const attempts: number[] = [];
    const stop = new AbortController();
    const failing = dispatcher((_, { attempt }) => {
      attempts.push(attempt);
      throw new Error('declined');
    });
    const running = failing.consumeLoop('orders', { signal: stop.signal });
    await settled();
    await clock.advance(99);
    expect(attempts).toEqual([1]);
    await clock.advance(1);
    await clock.advance(100);
    expect(attempts).toEqual([1, 2, 3]);
    stop.abort();
    await running;
    expect(failing.counters).toMatchObject({ retried: 2, deadLettered: 1, acknowledged: 0 });
    const headers: Record<string, string>[] = [];
    const reader = dispatcher((_, context) => headers.push({ ...context.headers }));
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

  test('onException sees every error with its context; its own throwing never stops the loop', async () => {
    await publish(2);
    const contexts: unknown[] = [];
    const failing = dispatcher(
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
    expect(await depth('dead')).toBe(2);
  });

  test('every error is a log line', async () => {
    await publish(1);
    const error = vi.fn();
    const logger: Logger = { ...silentLogger, error };
    await dispatcher(() => Promise.reject(new Error('declined')), { logger }).consumeEvent('orders');
    expect(error).toHaveBeenCalledWith(expect.any(String), expect.objectContaining({ queue: 'orders' }));
  });

  test('a half-done message runs only the consumer that is not done, with a cache', async () => {
    await publish(1);
    const runs: string[] = [];
    let broken = true;
    const both = dispatcher(() => void runs.push('first'), {
      cache: new MemoryDeduplicationCache({ clock }),
    });
    both.attachConsumer(
      consumer(() => {
        runs.push('second');
        if (broken) throw new Error('declined');
      }, 'second'),
    );
    await both.consumeEvent('orders');
    broken = false;
    await clock.advance(100);
    await both.consumeEvent('orders');
    expect(runs).toEqual(['first', 'second', 'second']);
    expect(both.counters).toMatchObject({ duplicates: 1, acknowledged: 1 });
  });

  test('a handler past its timeout has its signal aborted, and its outcome still counts', async () => {
    await publish(1);
    let reason: unknown;
    const slow = dispatcher(
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
    await clock.advance(500);
    await running;
    expect(reason).toMatchObject({ reason: 'timeout' });
    expect(await depth('dead')).toBe(1);
  });
});

test('a delivery that cannot be dead-lettered comes again after the longest delay, and keeps no place', async () => {
  // Its backend says that there is a dead-letter queue, and finds out otherwise.
  const misled = new MemoryBackend({ clock });
  await misled.declareQueue('orders');
  const describeQueue = misled.describeQueue.bind(misled);
  misled.describeQueue = async (name) => ({ ...(await describeQueue(name)), deadLetterQueue: 'dead' });
  await new QueuePublisher({ backend: misled, serializers, clock }).publishBatch('orders', [
    { value: { n: 0 } },
    { value: { n: 1 } },
  ]);
  const attempts: string[] = [];
  const onException = vi.fn();
  const stop = new AbortController();
  const running = dispatcher(
    ({ n }, { attempt }) => {
      attempts.push(`${n} ${attempt}`);
      if (n === 0) throw new Error('declined');
    },
    { backend: misled, concurrency: 1, retry: { ...fixedDelays([]), longestDelayMs: 5_000 } },
  ).consumeLoop('orders', { signal: stop.signal, onException });
  await settled();
  expect(attempts).toEqual(['0 1', '1 1']);
  expect(onException.mock.lastCall?.[0]).toMatchObject({ code: 'CONFIGURATION' });
  await clock.advance(4_999);
  expect(attempts).toEqual(['0 1', '1 1']);
  await clock.advance(1);
  expect(attempts).toEqual(['0 1', '1 1', '0 2']);
  stop.abort();
  await running;
  await misled.close();
});

describe('ordering', () => {
  test("'key' runs different keys at once and one key strictly in order, retries included", async () => {
    const log: string[] = [];
    const failures = new Map([['a0', 2]]);
    const stop = new AbortController();
    const ordered = dispatcher(
      ({ n }, { key }) => {
        const name = `${key}${n}`;
        log.push(name);
        const left = failures.get(name) ?? 0;
        failures.set(name, left - 1);
        if (left > 0) throw new Error('declined');
      },
      { ordering: 'key' },
    );
    await publish(4, (n) => (n % 2 === 0 ? 'a' : 'b'));
    const running = ordered.consumeLoop('orders', { signal: stop.signal });
    await settled();
    expect(log).toEqual(['a0', 'b1', 'b3']);
    await clock.advance(100);
    expect(log).toEqual(['a0', 'b1', 'b3', 'a0']);
    await clock.advance(100);
    expect(log).toEqual(['a0', 'b1', 'b3', 'a0', 'a0', 'a2']);
    stop.abort();
    await running;
    expect(await depth()).toBe(0);
  });

  test("'key': past maxAttempts the message is dead-lettered and its key goes on", async () => {
    const log: number[] = [];
    const stop = new AbortController();
    await publish(2, () => 'a');
    const ordered = dispatcher(
      ({ n }) => {
        log.push(n);
        if (n === 0) throw new Error('declined');
      },
      { ordering: 'key' },
    );
    const running = ordered.consumeLoop('orders', { signal: stop.signal });
    await settled();
    await clock.advance(100);
    await clock.advance(100);
    expect(log).toEqual([0, 0, 0, 1]);
    stop.abort();
    await running;
    expect(await depth('dead')).toBe(1);
  });

  test("'queue' is one at a time, in order", async () => {
    await publish(5);
    const log: string[] = [];
    const ordered = dispatcher(
      async ({ n }) => {
        log.push(`>${n}`);
        await settled();
        log.push(`<${n}`);
      },
      { ordering: 'queue', concurrency: 10 },
    );
    await ordered.consumeEvent('orders');
    expect(log).toEqual([0, 1, 2, 3, 4].flatMap((n) => [`>${n}`, `<${n}`]));
  });
});

describe('stopping', () => {
  test('a stop that comes before the loop has begun to receive ends it all the same', async () => {
    const stop = new AbortController();
    const slow = Object.create(backend, {
      describeQueue: {
        value: async (name: string) => {
          stop.abort();
          return backend.describeQueue(name);
        },
      },
      subscribe: { value: () => Promise.reject(new Error('nothing is to be received any more')) },
    }) as MemoryBackend;
    const dispatching = new SimpleMessageDispatcher(
      consumer(() => undefined),
      { backend: slow, serializers },
    );
    await dispatching.consumeLoop('orders', { signal: stop.signal });
    expect(dispatching.counters.received).toBe(0);
  });

  test('waits for running handlers, stops intake at once, gives the rest back', async () => {
    await publish(5);
    const { passed, open } = gate();
    const stop = new AbortController();
    const draining = dispatcher(() => passed, { concurrency: 2 });
    const running = draining.consumeLoop('orders', { signal: stop.signal });
    await settled();
    stop.abort();
    await publish(1);
    await settled();
    expect(draining.counters.received).toBe(2);
    open();
    await running;
    expect(draining.counters.acknowledged).toBe(2);
    expect(await depth()).toBe(4);
  });

  test('past the deadline the signal is aborted and the message given back, not acknowledged', async () => {
    await publish(1);
    const { passed, open } = gate();
    let signal: AbortSignal | undefined;
    const stuck = dispatcher((_, context) => {
      signal = context.signal;
      return passed;
    });
    const running = stuck.consumeLoop('orders');
    await settled();
    const closed = stuck.close({ deadlineMs: 1_000 });
    await settled();
    expect(signal?.aborted).toBe(false);
    await clock.advance(1_000);
    await Promise.all([closed, running]);
    expect(signal?.reason).toMatchObject({ code: 'DELIVERY_ABORTED', reason: 'shutdown' });
    expect(await depth()).toBe(1);
    open();
    await settled();
    expect(stuck.counters.acknowledged).toBe(0);
    expect(await depth()).toBe(1);
  });

  test('a message that waits for its retry in its lane is given back at once', async () => {
    await publish(2, () => 'a');
    const failing = dispatcher(() => Promise.reject(new Error('declined')), { ordering: 'key' });
    const running = failing.consumeLoop('orders');
    await settled();
    await failing.close();
    await running;
    expect(await depth()).toBe(2);
    expect(clock.pending).toBe(0);
  });

  test('close ends every loop, twice is once, and consuming afterwards is refused', async () => {
    const closing = dispatcher(() => undefined);
    await backend.declareQueue('other');
    const loops = [closing.consumeLoop('orders'), closing.consumeLoop('other')];
    await settled();
    await Promise.all([closing.close(), closing.close(), ...loops]);
    await expect(closing.consumeLoop('orders')).rejects.toMatchObject({ code: 'CLOSED' });
  });

  test('a signal that is aborted already consumes nothing', async () => {
    await publish(1);
    await dispatcher(() => undefined).consumeLoop('orders', { signal: AbortSignal.abort() });
    expect(await depth()).toBe(1);
  });
});

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
    await publish(1);
    await dispatcher(() => undefined).consumeEvent('orders');
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

test('the publisher refuses headers that Melange uses itself', async () => {
  for (const name of ['manifest', 'serializer_id', 'melange_reason']) {
    await expect(publisher.publish('orders', {}, { headers: { [name]: 'x' } })).rejects.toMatchObject({
      code: 'MESSAGE_INVALID',
    });
  }
});
