import { fixedDelays, RetryLater } from '@melange/core';
import { describe, expect, test } from 'vitest';
import { isMissing, scene } from './support/scene.ts';

const none = { batchItemFailures: [] };
const fifo = { suffix: '.fifo', concurrency: 10 };

describe.skipIf(isMissing)('an event of a FIFO queue (skipped without SQS_URL)', () => {
  test('has each group run in order, one message at a time, and the groups beside each other', async () => {
    const handled: string[] = [];
    let [running, most] = [0, 0];
    const { publish, source, invoke } = await scene(async ({ id }) => {
      running += 1;
      most = Math.max(most, running);
      for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve));
      running -= 1;
      handled.push(id);
    }, fifo);
    await publish(['a1', 'a2', 'a3'], 'a');
    await publish(['b1', 'b2', 'b3'], 'b');
    expect(await source.deliver(6, invoke)).toEqual(none);
    expect(handled.filter((id) => id.startsWith('a'))).toEqual(['a1', 'a2', 'a3']);
    expect(handled.filter((id) => id.startsWith('b'))).toEqual(['b1', 'b2', 'b3']);
    expect(most).toBe(2);
  });

  test('gives back the rest of a group after a failure, unrun, and keeps its order; other groups go on', async () => {
    const handled: string[] = [];
    const { publish, source, invoke } = await scene(
      ({ id }, { attempt }) => {
        handled.push(`${id}#${attempt}`);
        if (id === 'a2' && attempt === 1) throw new Error('not yet');
      },
      { ...fifo, retry: fixedDelays([1_000]) },
    );
    await publish(['a1', 'a2', 'a3', 'a4'], 'a');
    await publish(['b1', 'b2'], 'b');
    const event = await source.batch(6);
    const idOf = (id: string) => event.Records.find(({ body }) => body.includes(`"${id}"`))?.messageId;
    const response = await invoke(event);
    expect(response.batchItemFailures.map(({ itemIdentifier }) => itemIdentifier)).toEqual(
      ['a2', 'a3', 'a4'].map(idOf),
    );
    await source.settle(event, response);
    expect([...handled].sort()).toEqual(['a1#1', 'a2#1', 'b1#1', 'b2#1']);

    // All of them are visible again, although the visibility was ten minutes.
    handled.length = 0;
    while (handled.length < 3) await source.settleAfter(invoke);
    expect(handled).toEqual(['a2#2', 'a3#1', 'a4#1']);
  });

  test('counts no attempts of what waits behind a message that fails', async () => {
    const handled: string[] = [];
    const { publish, source, invoke, deadLetters } = await scene(
      ({ id }, { attempt }) => {
        handled.push(`${id}#${attempt}`);
        if (id === 'a1' && handled.length < 5) throw new RetryLater(0);
        if (id === 'a2' && attempt === 1) throw new Error('not yet');
      },
      { ...fifo, retry: fixedDelays([0, 0]) },
    );
    await publish(['a1', 'a2'], 'a');
    while (!handled.includes('a2#2')) await source.settleAfter(invoke);
    expect(handled).toEqual(['a1#1', 'a1#1', 'a1#1', 'a1#1', 'a1#1', 'a2#1', 'a2#2']);
    expect(await deadLetters()).toEqual([]);
  });

  test('has what SQS handed out often run all the same: behind others it may never have run', async () => {
    let runs = 0;
    const { publish, source, invoke } = await scene(
      () => {
        runs += 1;
      },
      { ...fifo, retry: fixedDelays([0]) },
    );
    await publish(['a1'], 'a');
    for (let receives = 0; receives < 5; receives += 1) await source.comeAgain(await source.batch(1));
    expect(await source.deliver(1, invoke)).toEqual(none);
    expect(runs).toBe(1);
  });
});
