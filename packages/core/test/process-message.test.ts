import {
  type Consumer,
  type DeduplicationCache,
  fixedDelays,
  MelangeError,
  type Message,
  Reject,
  RetryLater,
} from '@melange/core';
import { MemoryDeduplicationCache } from '@melange/dedup-memory';
import { describe, expect, test } from 'vitest';
import { AbortScope } from '../src/abort-scope.ts';
import { ClaimKeeper, type DeduplicationOptions } from '../src/claim-keeper.ts';
import { type Outcome, type ProcessingRules, processMessage } from '../src/process-message.ts';
import { ManualClock, settled } from './support/manual-clock.ts';
import { RecordingDelivery } from './support/recording-delivery.ts';
import { serializers } from './support/text-serializer.ts';

interface Setting {
  readonly message?: Partial<Message>;
  readonly attempt?: number;
  readonly rules?: Partial<ProcessingRules>;
  readonly cache?: DeduplicationCache;
  readonly deduplication?: DeduplicationOptions;
  readonly clock?: ManualClock;
}

interface Observed {
  readonly outcome: Promise<Outcome>;
  readonly delivery: RecordingDelivery;
  readonly reports: { error: unknown; consumer: string | undefined }[];
  readonly duplicates: string[];
}

function start(consumers: readonly Consumer[], setting: Setting = {}): Observed {
  const delivery = new RecordingDelivery(setting.message, setting.attempt);
  const reports: Observed['reports'] = [];
  const duplicates: string[] = [];
  const clock = setting.clock ?? new ManualClock();
  const rules: ProcessingRules = {
    queue: 'orders',
    hasDeadLetterQueue: true,
    consumers,
    serializers,
    claims:
      setting.cache &&
      new ClaimKeeper(setting.cache, clock, setting.deduplication ?? {}, (error) =>
        reports.push({ error, consumer: 'cache' }),
      ),
    retry: fixedDelays([100, 200]),
    middleware: [],
    earlyAck: false,
    alwaysAck: false,
    unhandled: 'acknowledge',
    random: () => 0,
    report: (error, consumer) => reports.push({ error, consumer }),
    onDuplicate: (consumer) => duplicates.push(consumer),
    ...setting.rules,
  };
  const work = { delivery, attempt: delivery.attempt, scope: new AbortScope(delivery) };
  return { outcome: processMessage(work, rules), delivery, reports, duplicates };
}

function consumer(name: string, process: Consumer['process'], accepts = true): Consumer & { runs: number } {
  const made = {
    name,
    runs: 0,
    accepts: () => accepts,
    process(...parameters: Parameters<Consumer['process']>) {
      made.runs += 1;
      return process(...parameters);
    },
  };
  return made;
}

const succeed = (name: string) => consumer(name, () => undefined);
const fail = (name: string, error: unknown = new Error('declined')) =>
  consumer(name, () => {
    throw error;
  });

describe('row "earlyAck"', () => {
  test('acknowledges before processing, and whatever follows changes nothing', async () => {
    let acknowledgedFirst = false;
    const failing = consumer('a', () => {
      acknowledgedFirst = observed.delivery.settlements.length === 1;
      throw new Error('declined');
    });
    const observed = start([failing], { rules: { earlyAck: true } });
    expect(await observed.outcome).toEqual({ kind: 'acknowledged-early' });
    expect(observed.delivery.settlements).toEqual([{ kind: 'acknowledge' }]);
    expect(acknowledgedFirst).toBe(true);
    expect(observed.reports).toHaveLength(1);
  });
});

describe('row "content cannot be decoded"', () => {
  const undecodable: [string, Partial<Message>, RegExp][] = [
    ['bad content', { content: '{' }, /not JSON/],
    ['an unknown serializer', { serializerId: 77 }, /No serializer has the identifier 77/],
    ["Python's pickle", { serializerId: 2 }, /pickle/],
  ];
  test.each(undecodable)('%s is dead-lettered with its error', async (_, message, text) => {
    const never = succeed('a');
    const observed = start([never], { message });
    const outcome = await observed.outcome;
    expect(outcome).toMatchObject({ kind: 'dead-letter', reason: 'undecodable' });
    expect((outcome as { error: Error }).error.message).toMatch(text);
    expect(observed.reports).toHaveLength(1);
    expect(never.runs).toBe(0);
  });

  test('without a dead-letter queue it is reported and acknowledged', async () => {
    const observed = start([succeed('a')], {
      message: { content: '{' },
      rules: { hasDeadLetterQueue: false },
    });
    expect(await observed.outcome).toEqual({ kind: 'acknowledge', because: 'undecodable' });
    expect(observed.reports).toHaveLength(1);
  });

  test('a tombstone is not decoded: it reaches the consumer as null', async () => {
    const seen: unknown[] = [];
    const observed = start([consumer('a', (message) => void seen.push(message))], {
      message: { content: null },
    });
    expect(await observed.outcome).toEqual({ kind: 'acknowledge', because: 'processed' });
    expect(seen).toEqual([null]);
  });
});

describe('row "no consumer accepts it"', () => {
  test('is acknowledged by default', async () => {
    const observed = start([consumer('a', () => undefined, false)]);
    expect(await observed.outcome).toEqual({ kind: 'acknowledge', because: 'unhandled' });
  });
  test('is dead-lettered on request', async () => {
    const observed = start([], { rules: { unhandled: 'dead-letter' } });
    expect(await observed.outcome).toMatchObject({ kind: 'dead-letter', reason: 'unhandled' });
  });
  test('is retried on request', async () => {
    const observed = start([], { rules: { unhandled: 'retry' } });
    expect(await observed.outcome).toEqual({ kind: 'retry', delayMs: 100 });
  });
});

describe('row "every accepting consumer succeeded, now or before"', () => {
  test('is acknowledged, and only accepting consumers ran', async () => {
    const [first, second, other] = [succeed('a'), succeed('b'), consumer('c', () => undefined, false)];
    const observed = start([first, second, other]);
    expect(await observed.outcome).toEqual({ kind: 'acknowledge', because: 'processed' });
    expect([first.runs, second.runs, other.runs]).toEqual([1, 1, 0]);
  });

  test('a half-done message: the consumer that the cache knows to be done counts as a success', async () => {
    const cache = new MemoryDeduplicationCache();
    const done = succeed('done');
    let broken = true;
    const recovering = consumer('recovering', () => {
      if (broken) throw new Error('declined');
    });
    expect(await start([done, recovering], { cache }).outcome).toEqual({ kind: 'retry', delayMs: 100 });
    broken = false;
    const second = start([done, recovering], { cache, attempt: 2 });
    expect(await second.outcome).toEqual({ kind: 'acknowledge', because: 'processed' });
    expect([done.runs, recovering.runs]).toEqual([1, 2]);
    expect(second.duplicates).toEqual(['done']);
  });
});

describe('row "a consumer threw Reject"', () => {
  test('is dead-lettered at once, naming the consumer, after the others have run', async () => {
    const other = succeed('b');
    const error = new Reject('unknown account');
    const observed = start([fail('a', error), other]);
    expect(await observed.outcome).toEqual({ kind: 'dead-letter', reason: 'rejected', error, consumer: 'a' });
    expect(other.runs).toBe(1);
  });
  test('wins over another consumer that asks for a retry', async () => {
    const observed = start([fail('a'), fail('b', new Reject('never'))]);
    expect(await observed.outcome).toMatchObject({ kind: 'dead-letter', reason: 'rejected', consumer: 'b' });
  });
  test('without a dead-letter queue it is an error without retries, reported', async () => {
    const observed = start([fail('a', new Reject('never'))], { rules: { hasDeadLetterQueue: false } });
    expect(await observed.outcome).toEqual({ kind: 'acknowledge', because: 'rejected' });
    expect(observed.reports).toHaveLength(1);
  });
  test('is recognised from another installed copy of the package', async () => {
    const foreign = Object.assign(new Error('never'), {
      code: 'REJECTED',
      [Symbol.for('melange.error')]: true,
    });
    expect(await start([fail('a', foreign)]).outcome).toMatchObject({
      kind: 'dead-letter',
      reason: 'rejected',
    });
  });
});

describe('row "a consumer threw, or its claim is held elsewhere"', () => {
  test.each([
    [1, 100],
    [2, 200],
  ])('attempt %i is retried after the delay of the policy, %i ms', async (attempt, delayMs) => {
    const other = succeed('b');
    const observed = start([fail('a'), other], { attempt });
    expect(await observed.outcome).toEqual({ kind: 'retry', delayMs });
    expect(other.runs).toBe(1);
  });
  test("RetryLater's own delay counts", async () => {
    expect(await start([fail('a', new RetryLater(7))]).outcome).toEqual({ kind: 'retry', delayMs: 7 });
  });
  test('past maxAttempts it is dead-lettered with the error', async () => {
    const error = new Error('declined');
    const observed = start([fail('a', error)], { attempt: 3 });
    expect(await observed.outcome).toEqual({
      kind: 'dead-letter',
      reason: 'attempts exhausted',
      error,
      consumer: 'a',
    });
  });
  test('with no dead-letter queue it is retried for ever at the longest delay', async () => {
    const observed = start([fail('a')], { attempt: 50, rules: { hasDeadLetterQueue: false } });
    expect(await observed.outcome).toEqual({ kind: 'retry', delayMs: 200 });
  });
  test('a consumer that throws undefined has failed all the same', async () => {
    expect(await start([fail('a', undefined)]).outcome).toMatchObject({ kind: 'retry' });
  });
  test('accepts() throwing counts as the consumer failing', async () => {
    const broken: Consumer = {
      name: 'a',
      accepts: () => {
        throw new Error('accepts');
      },
      process: () => undefined,
    };
    expect(await start([broken]).outcome).toMatchObject({ kind: 'retry' });
  });
  test('a claim held elsewhere is not processed here', async () => {
    const cache = new MemoryDeduplicationCache();
    cache.claim('a:message-1', { leaseMs: 60_000 });
    const waiting = succeed('a');
    const observed = start([waiting], { cache });
    expect(await observed.outcome).toEqual({ kind: 'retry', delayMs: 100 });
    expect(waiting.runs).toBe(0);
    expect(MelangeError.is(observed.reports[0]?.error, 'CLAIM_HELD')).toBe(true);
  });
  test('a claim held elsewhere uses up no attempts: the worker that left it may be dead, and nothing was tried', async () => {
    const cache = new MemoryDeduplicationCache();
    cache.claim('a:message-1', { leaseMs: 60_000 });
    const observed = start([succeed('a')], { cache, attempt: 50 });
    expect(await observed.outcome).toMatchObject({ kind: 'retry' });
  });
  test('a consumer that threw past maxAttempts counts, also beside a claim held elsewhere', async () => {
    const cache = new MemoryDeduplicationCache();
    cache.claim('a:message-1', { leaseMs: 60_000 });
    const observed = start([succeed('a'), fail('b')], { cache, attempt: 3 });
    expect(await observed.outcome).toMatchObject({ kind: 'dead-letter', consumer: 'b' });
  });
  test('a failure releases the claim, so that the next delivery may try at once', async () => {
    const cache = new MemoryDeduplicationCache();
    await start([fail('a')], { cache }).outcome;
    expect(await cache.claim('a:message-1', { leaseMs: 1 })).toMatchObject({ status: 'claimed' });
  });
});

describe('row "alwaysAck"', () => {
  test.each([new Error('declined'), new Reject('never')])(
    'acknowledges whatever was thrown: %s',
    async (error) => {
      const observed = start([fail('a', error)], { rules: { alwaysAck: true } });
      expect(await observed.outcome).toEqual({ kind: 'acknowledge', because: 'always-ack' });
      expect(observed.reports).toHaveLength(1);
    },
  );
});

describe('claims', () => {
  test('a lost lease aborts the signal, and the late result is neither confirmed nor acknowledged', async () => {
    const clock = new ManualClock();
    const cache = new MemoryDeduplicationCache({ clock });
    let finish = (): void => undefined;
    let signal: AbortSignal | undefined;
    const slow = consumer('a', (_, context) => {
      signal = context.signal;
      return new Promise<void>((resolve) => {
        finish = resolve;
      });
    });
    const frozen: DeduplicationCache = {
      claim: (key, options) => cache.claim(key, options),
      extend: () => false,
      confirm: (token) => cache.confirm(token),
      release: (token) => cache.release(token),
      health: () => cache.health(),
      close: () => cache.close(),
    };
    const observed = start([slow], { cache: frozen, clock, deduplication: { leaseMs: 300 } });
    await settled();
    await clock.advance(301);
    expect(signal?.reason).toMatchObject({ code: 'DELIVERY_ABORTED', reason: 'lease-lost' });
    expect(await cache.claim('a:message-1', { leaseMs: 10_000 })).toMatchObject({ status: 'claimed' });
    finish();
    expect(await observed.outcome).toMatchObject({ kind: 'retry' });
    expect(await cache.claim('a:message-1', { leaseMs: 1 })).toEqual({ status: 'held' });
  });

  test('a handler that fails after its lease was lost decides nothing, and both errors are reported', async () => {
    const clock = new ManualClock();
    const cache = new MemoryDeduplicationCache({ clock });
    const late = consumer('a', (_, { signal }) => {
      return new Promise<void>((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(new Reject('too late')));
      });
    });
    const frozen: DeduplicationCache = {
      claim: (key, options) => cache.claim(key, options),
      extend: () => false,
      confirm: (token) => cache.confirm(token),
      release: (token) => cache.release(token),
      health: () => cache.health(),
      close: () => cache.close(),
    };
    const observed = start([late], { cache: frozen, clock, deduplication: { leaseMs: 300 } });
    await settled();
    await clock.advance(301);
    expect(await observed.outcome).toMatchObject({ kind: 'retry' });
    expect(observed.reports.map(({ error }) => (error as MelangeError).code)).toEqual([
      'REJECTED',
      'DELIVERY_ABORTED',
    ]);
  });

  test('the lease is renewed while the handler runs', async () => {
    const clock = new ManualClock();
    const cache = new MemoryDeduplicationCache({ clock });
    let finish = (): void => undefined;
    const slow = consumer(
      'a',
      () =>
        new Promise<void>((resolve) => {
          finish = resolve;
        }),
    );
    const observed = start([slow], { cache, clock, deduplication: { leaseMs: 300 } });
    await settled();
    await clock.advance(5_000);
    expect(await cache.claim('a:message-1', { leaseMs: 1 })).toEqual({ status: 'held' });
    finish();
    expect(await observed.outcome).toMatchObject({ kind: 'acknowledge' });
    expect(await cache.claim('a:message-1', { leaseMs: 1 })).toEqual({ status: 'done' });
    expect(clock.pending).toBe(0);
  });

  const hanging: DeduplicationCache = {
    claim: () => new Promise(() => undefined),
    extend: () => true,
    confirm: () => true,
    release: () => undefined,
    health: () => ({ status: 'unhealthy', detail: 'hangs' }),
    close: () => undefined,
  };

  test('a cache that hangs is given up after its timeout, and the message is retried, never dead-lettered', async () => {
    const clock = new ManualClock();
    const waiting = succeed('a');
    const observed = start([waiting], { cache: hanging, clock, attempt: 99 });
    await settled();
    await clock.advance(5_000);
    expect(await observed.outcome).toEqual({ kind: 'retry', delayMs: 200 });
    expect(waiting.runs).toBe(0);
  });

  test("onUnavailable: 'process' runs the consumer without a claim", async () => {
    const clock = new ManualClock();
    const waiting = succeed('a');
    const deduplication = { onUnavailable: 'process' } as const;
    const observed = start([waiting], { cache: hanging, clock, deduplication });
    await settled();
    await clock.advance(5_000);
    expect(await observed.outcome).toMatchObject({ kind: 'acknowledge' });
    expect(waiting.runs).toBe(1);
    expect(MelangeError.is(observed.reports[0]?.error, 'CACHE_UNAVAILABLE')).toBe(true);
  });
});

test('middleware wraps each consumer, the first outermost, and its error is the consumer’s own', async () => {
  const order: string[] = [];
  const wrap = (name: string) => async (context: { consumer: string }, next: () => Promise<void>) => {
    order.push(`${name}>${context.consumer}`);
    await next();
    order.push(`<${name}`);
  };
  const observed = start([succeed('a')], { rules: { middleware: [wrap('outer'), wrap('inner')] } });
  expect(await observed.outcome).toMatchObject({ kind: 'acknowledge' });
  expect(order).toEqual(['outer>a', 'inner>a', '<inner', '<outer']);
  const refuse = async () => {
    throw new Reject('not allowed');
  };
  expect(await start([succeed('a')], { rules: { middleware: [refuse] } }).outcome).toMatchObject({
    kind: 'dead-letter',
    consumer: 'a',
  });
});
