import { setTimeout as pause } from 'node:timers/promises';
import { DeliveryAbortedError } from '@melange/core';
import { describe, expect, test } from 'vitest';
import { contextFor, gate, isMissing, scene } from './support/scene.ts';

describe.skipIf(isMissing)('the end of an invocation (skipped without SQS_URL)', () => {
  test('aborts the signals of handlers, gives back what is not finished, and what has not begun', async () => {
    const { opens } = gate();
    const begun: string[] = [];
    const reasons: unknown[] = [];
    const { publish, source, invoke, left } = await scene(
      async ({ id }, { signal }) => {
        begun.push(id);
        signal.addEventListener('abort', () => reasons.push(signal.reason));
        await opens;
      },
      { concurrency: 2 },
      { reserveMs: 1_000 },
    );
    await publish(['a', 'b', 'c']);
    const event = await source.batch(3);
    const startedAt = performance.now();
    const response = await invoke(event, 3_000);
    const tookMs = performance.now() - startedAt;
    expect(tookMs).toBeGreaterThan(1_900);
    expect(tookMs).toBeLessThan(3_000);
    expect(response.batchItemFailures).toHaveLength(3);
    expect(begun).toHaveLength(2);
    expect(reasons[0]).toBeInstanceOf(DeliveryAbortedError);
    expect(reasons[0]).toMatchObject({ reason: 'timeout' });
    // Visible at once, although the visibility was ten minutes.
    expect(await left()).toHaveLength(3);
  });

  test('lets a handler that ends when it is told to finish', async () => {
    const { publish, source, invoke } = await scene(
      (_order, { signal }) =>
        new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve())),
      {},
      { reserveMs: 1_000 },
    );
    await publish(['a']);
    expect(await invoke(await source.batch(1), 2_000)).toEqual({ batchItemFailures: [] });
  });

  test('uses up no attempt', async () => {
    const { opens } = gate();
    const attempts: number[] = [];
    const { publish, source, invoke } = await scene(
      async (_order, { attempt }) => {
        attempts.push(attempt);
        if (attempts.length === 1) await opens;
      },
      {},
      { reserveMs: 500 },
    );
    await publish(['a']);
    await source.settle({ Records: [] }, await invoke(await source.batch(1), 1_000));
    expect(await source.deliver(1, invoke)).toEqual({ batchItemFailures: [] });
    expect(attempts).toEqual([1, 1]);
  });

  test('comes before Lambda ends it, whatever the broker does', async () => {
    const { publish, source, handler, backend, queue } = await scene(() => {
      throw new Error('not yet');
    });
    await publish(['a']);
    const event = await source.batch(1);
    // A queue whose messages can neither be given back nor be asked for.
    await backend.deleteQueue(queue);
    const outcome = await Promise.race([
      handler(event, contextFor(2_000)).catch((error: unknown) => error),
      pause(2_000, 'too late'),
    ]);
    expect(outcome).not.toBe('too late');
  });

  test('leaves no timer and no listener', async () => {
    const { publish, source, invoke } = await scene(({ id }, { signal }) => {
      // Made only where somebody looks at it.
      if (!signal.aborted && id === 'b') throw new Error('not yet');
    });
    const kept = () => ({
      timers: process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length,
      listeners: process.eventNames().map((name) => [name, process.listenerCount(name)]),
    });
    await publish(['a', 'b', 'c']);
    const event = await source.batch(3);
    const before = kept();
    await invoke(event);
    // Others' timers come and go; what an invocation left would stay.
    await expect.poll(() => kept().timers).toBeLessThanOrEqual(before.timers);
    expect(kept().listeners).toEqual(before.listeners);
  });
});
