import { DeadLetterHeader, exponentialBackoff, fixedDelays, Reject, RetryLater } from '@melange/core';
import { describe, expect, test } from 'vitest';
import { isMissing, scene } from './support/scene.ts';

const none = { batchItemFailures: [] };

describe.skipIf(isMissing)('an event of SQS (skipped without SQS_URL)', () => {
  test('is processed by the service, which Lambda is told nothing of but what failed', async () => {
    const handled: string[] = [];
    const { publish, source, invoke, left } = await scene(({ id }) => {
      handled.push(id);
      if (id === 'b') throw new Error('not yet');
    });
    await publish(['a', 'b', 'c']);
    const event = await source.batch(3);
    const failed = event.Records.find(({ body }) => body.includes('"b"'));
    const response = await invoke(event);
    expect(response).toEqual({ batchItemFailures: [{ itemIdentifier: failed?.messageId }] });
    expect([...handled].sort()).toEqual(['a', 'b', 'c']);
    await source.settle(event, response);
    expect((await left()).map(({ content }) => content)).toEqual(['{"id":"b"}']);
  });

  test('has a failed message come again after the delay of the policy, as the next attempt', async () => {
    const attempts: number[] = [];
    const { publish, source, invoke } = await scene(
      (_order, { attempt }) => {
        attempts.push(attempt);
        if (attempt === 1) throw new Error('not yet');
      },
      { retry: fixedDelays([2_000]) },
    );
    await publish(['a']);
    await source.deliver(1, invoke);
    const failedAt = performance.now();
    // Its visibility was ten minutes.
    expect(await source.deliver(1, invoke)).toEqual(none);
    expect(performance.now() - failedAt).toBeGreaterThan(1_500);
    expect(attempts).toEqual([1, 2]);
  });

  test('lets a handler choose the delay, which uses up no attempt', async () => {
    const attempts: number[] = [];
    const { publish, source, invoke } = await scene(
      (_order, { attempt }) => {
        attempts.push(attempt);
        if (attempts.length === 1) throw new RetryLater('later', { delayMs: 1_000 });
      },
      { retry: exponentialBackoff({ firstDelayMs: 600_000 }) },
    );
    await publish(['a']);
    await source.deliver(1, invoke);
    expect(await source.deliver(1, invoke)).toEqual(none);
    expect(attempts).toEqual([1, 1]);
  });

  test('dead-letters at once what is rejected, with the circumstances, and calls it done', async () => {
    const { publish, source, invoke, deadLetters, queue } = await scene(() => {
      throw new Reject('no such customer');
    });
    await publish(['a']);
    expect(await source.deliver(1, invoke)).toEqual(none);
    const [copy] = await deadLetters();
    expect(copy?.content).toBe('{"id":"a"}');
    expect(copy?.headers).toMatchObject({
      [DeadLetterHeader.reason]: 'rejected',
      [DeadLetterHeader.errorMessage]: 'no such customer',
      [DeadLetterHeader.sourceQueue]: queue,
    });
  });

  test('dead-letters what nobody can read', async () => {
    const { backend, queue, source, invoke, deadLetters } = await scene(() => undefined);
    const unreadable = { content: '{', manifest: 'OrderPlaced', serializerId: 1 };
    const rest = { key: undefined, headers: {}, publishedAt: undefined };
    await backend.publishToQueue(queue, [{ id: 'x', ...unreadable, ...rest }]);
    expect(await source.deliver(1, invoke)).toEqual(none);
    const [copy] = await deadLetters();
    expect(copy).toMatchObject({ id: 'x', content: '{' });
    expect(copy?.headers[DeadLetterHeader.reason]).toBe('undecodable');
  });

  test('dead-letters what has failed as often as the policy says', async () => {
    let runs = 0;
    const { publish, source, invoke, deadLetters } = await scene(() => {
      runs += 1;
      throw new Error('never');
    });
    await publish(['a']);
    for (const expected of [1, 1, 0]) {
      const { batchItemFailures } = await source.deliver(1, invoke);
      expect(batchItemFailures).toHaveLength(expected);
    }
    expect(runs).toBe(3);
    const [copy] = await deadLetters();
    expect(copy?.headers).toMatchObject({
      [DeadLetterHeader.reason]: 'attempts exhausted',
      [DeadLetterHeader.attempts]: '3',
    });
  });

  test('gives back what could not be dead-lettered', async () => {
    const { publish, source, invoke, backend, deadLetterQueue } = await scene(({ id }) => {
      if (id !== 'first') throw new Reject('no');
    });
    // From then on the name of the dead-letter queue is known.
    await publish(['first']);
    await source.deliver(1, invoke);
    await backend.deleteQueue(deadLetterQueue);
    await publish(['a']);
    expect((await source.deliver(1, invoke)).batchItemFailures).toHaveLength(1);
  });

  test('deletes at once what came in vain before, for its neighbour may end the process', async () => {
    const { publish, source, invoke, left } = await scene(() => undefined, {
      retry: exponentialBackoff(),
    });
    await publish(['a']);
    for (let receives = 0; receives < 3; receives += 1) await source.comeAgain(await source.batch(1));
    const event = await source.batch(1);
    expect(event.Records[0]?.attributes.ApproximateReceiveCount).toBe('4');
    expect(await invoke(event)).toEqual(none);
    // As after a response that never arrived.
    await source.comeAgain(event).catch(() => undefined);
    expect(await left()).toEqual([]);
  });

  test('dead-letters unrun what was handed out too often: it seems to end the process', async () => {
    let runs = 0;
    const { publish, source, invoke, deadLetters } = await scene(
      () => {
        runs += 1;
      },
      { maxRedeliveries: 2 },
    );
    await publish(['a']);
    for (let receives = 0; receives < 3; receives += 1) await source.comeAgain(await source.batch(1));
    expect(await source.deliver(1, invoke)).toEqual(none);
    expect(runs).toBe(0);
    expect((await deadLetters())[0]?.headers[DeadLetterHeader.reason]).toBe('crashed');
  });

  test('leaves the deletion of other messages to Lambda', async () => {
    const { publish, source, invoke, left } = await scene(() => undefined);
    await publish(['a']);
    const event = await source.batch(1);
    expect(await invoke(event)).toEqual(none);
    await source.comeAgain(event);
    expect(await left()).toHaveLength(1);
  });

  test('runs at most as many at once as the queue says', async () => {
    let [running, most] = [0, 0];
    const { publish, source, invoke } = await scene(
      async () => {
        running += 1;
        most = Math.max(most, running);
        await new Promise((resolve) => setImmediate(resolve));
        running -= 1;
      },
      { concurrency: 3 },
    );
    await publish([...'abcdefgh']);
    expect(await source.deliver(8, invoke)).toEqual(none);
    expect(most).toBe(3);
  });

  test('runs messages of one key one at a time where the queue is ordered by key', async () => {
    let [running, most] = [0, 0];
    const { publish, source, invoke } = await scene(
      async () => {
        running += 1;
        most = Math.max(most, running);
        await new Promise((resolve) => setImmediate(resolve));
        running -= 1;
      },
      { ordering: 'key' },
    );
    await publish(['a', 'b', 'c'], 'customer');
    expect(await source.deliver(3, invoke)).toEqual(none);
    expect(most).toBe(1);
  });

  test('does not wait for a retry where the queue is ordered by key: the message is given back', async () => {
    const { publish, source, invoke } = await scene(
      () => {
        throw new Error('not yet');
      },
      { ordering: 'key', retry: fixedDelays([50_000]) },
    );
    await publish(['a'], 'customer');
    const begun = performance.now();
    expect((await source.deliver(1, invoke)).batchItemFailures).toHaveLength(1);
    expect(performance.now() - begun).toBeLessThan(40_000);
  });

  test('fails the invocation where Lambda does not look at the response', async () => {
    const { publish, source, invoke } = await scene(
      ({ id }) => {
        if (id === 'b') throw new Error('not yet');
      },
      {},
      { reportBatchItemFailures: false },
    );
    await publish(['a']);
    expect(await source.deliver(1, invoke)).toEqual(none);
    await publish(['a', 'b']);
    await expect(invoke(await source.batch(2))).rejects.toThrow('1 messages are to come again');
  });

  test('fails the invocation when the broker cannot be asked for the dead-letter queue', async () => {
    const { publish, source, invoke, backend, queue } = await scene(() => undefined);
    await publish(['a']);
    const event = await source.batch(1);
    await backend.deleteQueue(queue);
    await expect(invoke(event)).rejects.toThrow(/does not exist/);
  });
});
