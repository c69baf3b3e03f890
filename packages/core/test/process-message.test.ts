import {
  type Consumer,
  MelangeError,
  type Message,
  Reject,
  RetryLater,
  SingleDispatchConsumer,
} from '@melange/core';
import { MemoryDeduplicationCache } from '@melange/dedup-memory';
import { describe, expect, test } from 'vitest';
import { consumer, fail, start, succeed } from './support/processing.ts';

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
      rules: { deadLetterQueue: undefined },
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
  const nobody = consumer('a', () => undefined, false);
  test('is dead-lettered, naming its manifest', async () => {
    const observed = start([nobody], { message: { content: '7', manifest: 'Shipped' } });
    const error = { message: 'No consumer accepts the manifest "Shipped"' };
    expect(await observed.outcome).toMatchObject({ kind: 'dead-letter', reason: 'unhandled', error });
    expect(observed.reports).toMatchObject([{ error }]);
  });
  test('says so when it was read as a plain object and the consumers are of classes', async () => {
    class Order {}
    const ofClasses = new SingleDispatchConsumer('a').on(Order, () => undefined);
    const observed = start([ofClasses], { message: { manifest: 'Order' } });
    const error = { message: expect.stringMatching(/"Order" \(read as a plain object/) };
    expect(await observed.outcome).toMatchObject({ kind: 'dead-letter', reason: 'unhandled', error });
  });
  test('without a dead-letter queue it is reported and acknowledged', async () => {
    const observed = start([nobody], { rules: { deadLetterQueue: undefined } });
    expect(await observed.outcome).toEqual({ kind: 'acknowledge', because: 'unhandled' });
    expect(observed.reports).toMatchObject([{ error: { message: expect.stringContaining('"json"') } }]);
  });
  test('is acknowledged without a word on request', async () => {
    const observed = start([nobody], { rules: { unhandled: 'acknowledge' } });
    expect(await observed.outcome).toEqual({ kind: 'acknowledge', because: 'unhandled' });
    expect(observed.reports).toEqual([]);
  });
  test('is retried on request, past maxAttempts dead-lettered', async () => {
    const last = start([], { rules: { unhandled: 'retry' }, attempt: 3 });
    expect(await last.outcome).toMatchObject({ kind: 'dead-letter', reason: 'attempts exhausted' });
    const observed = start([], { rules: { unhandled: 'retry' } });
    expect(await observed.outcome).toEqual({ kind: 'retry', delayMs: 100, because: 'failed' });
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
    expect(await start([done, recovering], { cache }).outcome).toEqual({
      kind: 'retry',
      delayMs: 100,
      because: 'failed',
    });
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
    const observed = start([fail('a', new Reject('never'))], { rules: { deadLetterQueue: undefined } });
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
    expect(await observed.outcome).toEqual({ kind: 'retry', delayMs, because: 'failed' });
    expect(other.runs).toBe(1);
  });
  test("RetryLater's own delay counts", async () => {
    const outcome = { kind: 'retry', delayMs: 7, because: 'deferred' };
    expect(await start([fail('a', new RetryLater('later', { delayMs: 7 }))]).outcome).toEqual(outcome);
    expect(
      await start([fail('a', new RetryLater('later', { delayMs: 7 }))], { attempt: 50 }).outcome,
    ).toEqual(outcome);
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
    const observed = start([fail('a')], { attempt: 50, rules: { deadLetterQueue: undefined } });
    expect(await observed.outcome).toEqual({ kind: 'retry', delayMs: 200, because: 'failed' });
  });
  test('a consumer that throws undefined has failed all the same, with a cache and without', async () => {
    const nothing = consumer('a', () => Promise.reject(undefined));
    expect(await start([nothing]).outcome).toMatchObject({ kind: 'retry' });
    const cache = new MemoryDeduplicationCache();
    expect(await start([nothing], { cache }).outcome).toMatchObject({ kind: 'retry' });
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
    cache.claim('orders:a:message-1', { leaseMs: 60_000 });
    const waiting = succeed('a');
    const observed = start([waiting], { cache });
    expect(await observed.outcome).toEqual({ kind: 'retry', delayMs: 100, because: 'not-run' });
    expect(waiting.runs).toBe(0);
    expect(MelangeError.is(observed.reports[0]?.error, 'CLAIM_HELD')).toBe(true);
  });
  test('a claim held elsewhere uses up no attempts: the worker that left it may be dead, and nothing was tried', async () => {
    const cache = new MemoryDeduplicationCache();
    cache.claim('orders:a:message-1', { leaseMs: 60_000 });
    const observed = start([succeed('a')], { cache, attempt: 50 });
    expect(await observed.outcome).toMatchObject({ kind: 'retry' });
  });
  test('a consumer that failed counts, also before or after one that asked to wait', async () => {
    const [later, failing] = [fail('a', new RetryLater('later', { delayMs: 7 })), fail('b')];
    for (const consumers of [
      [later, failing],
      [failing, later],
    ]) {
      const first = start(consumers);
      expect(await first.outcome).toEqual({ kind: 'retry', delayMs: 100, because: 'failed' });
      const last = start(consumers, { attempt: 3 });
      expect(await last.outcome).toMatchObject({ kind: 'dead-letter', consumer: 'b' });
    }
  });
  test('a consumer that threw past maxAttempts counts, also beside a claim held elsewhere', async () => {
    const cache = new MemoryDeduplicationCache();
    cache.claim('orders:a:message-1', { leaseMs: 60_000 });
    const observed = start([succeed('a'), fail('b')], { cache, attempt: 3 });
    expect(await observed.outcome).toMatchObject({ kind: 'dead-letter', consumer: 'b' });
  });
  test('a failure releases the claim, so that the next delivery may try at once', async () => {
    const cache = new MemoryDeduplicationCache();
    await start([fail('a')], { cache }).outcome;
    expect(await cache.claim('orders:a:message-1', { leaseMs: 1 })).toMatchObject({ status: 'claimed' });
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
  test('says nothing of what reached no consumer: the rows above come first', async () => {
    const undecodable = start([succeed('a')], { rules: { alwaysAck: true }, message: { content: '{' } });
    expect(await undecodable.outcome).toMatchObject({ kind: 'dead-letter', reason: 'undecodable' });
    const unhandled = start([], { rules: { alwaysAck: true } });
    expect(await unhandled.outcome).toMatchObject({ kind: 'dead-letter', reason: 'unhandled' });
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
