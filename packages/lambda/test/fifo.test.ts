import { fixedDelays, RetryLater } from '@melange/core';
import { describe, expect, onTestFinished, test } from 'vitest';
import { HttpProxy } from '../../backend-sqs/test/support/http-proxy.ts';
import type { SqsEvent, SqsEventRecord } from '../src/index.ts';
import { type Handle, isMissing, scene, url } from './support/scene.ts';

const none = { batchItemFailures: [] };

/**
 * The emulator hands out one message of a group at a time, where SQS hands out as many as it can: these events are
 * written as AWS documents them, with receipts that nobody knows.
 */
function eventOf(queue: string, ids: readonly string[], receives = 1): SqsEvent {
  const recordOf = (id: string): SqsEventRecord => ({
    messageId: id,
    receiptHandle: `receipt-of-${id}`,
    body: JSON.stringify({ id }),
    attributes: {
      ApproximateReceiveCount: String(receives),
      MessageGroupId: id.slice(0, 1),
    },
    messageAttributes: {
      manifest: { dataType: 'String', stringValue: 'OrderPlaced' },
      serializer_id: { dataType: 'Number', stringValue: '1' },
      message_id: { dataType: 'String', stringValue: id },
      melange_key: { dataType: 'String', stringValue: id.slice(0, 1) },
    },
    eventSourceARN: `arn:aws:sqs:eu-central-1:123456789012:${queue}`,
  });
  return { Records: ids.map(recordOf) };
}

async function fifoScene(handle: Handle, delaysMs: readonly number[]) {
  const proxy = await HttpProxy.start(url as string);
  onTestFinished(() => proxy[Symbol.asyncDispose]());
  const made = await scene(handle, {
    suffix: '.fifo',
    concurrency: 10,
    retry: fixedDelays(delaysMs),
    endpoint: proxy.url,
  });
  /** What SQS was asked to make visible: which message, after how many seconds. */
  const givenBack = () =>
    proxy.calls
      .filter(({ action }) => action === 'ChangeMessageVisibilityBatch')
      .flatMap(({ body }) => (JSON.parse(body) as { Entries: readonly VisibilityEntry[] }).Entries)
      .map(({ ReceiptHandle, VisibilityTimeout }) => `${ReceiptHandle.slice(-2)} in ${VisibilityTimeout} s`);
  return {
    ...made,
    proxy,
    givenBack,
    event: (ids: readonly string[], receives?: number) => eventOf(made.queue, ids, receives),
  };
}

interface VisibilityEntry {
  readonly ReceiptHandle: string;
  readonly VisibilityTimeout: number;
}

const failures = (ids: readonly string[]) => ({
  batchItemFailures: ids.map((itemIdentifier) => ({ itemIdentifier })),
});

describe.skipIf(isMissing)('an event of a FIFO queue (skipped without SQS_URL)', () => {
  test('has each group run in order, one message at a time, and the groups beside each other', async () => {
    const handled: string[] = [];
    let [running, most] = [0, 0];
    const { event, invoke } = await fifoScene(async ({ id }) => {
      running += 1;
      most = Math.max(most, running);
      for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve));
      running -= 1;
      handled.push(id);
    }, []);
    expect(await invoke(event(['a1', 'a2', 'b1', 'a3', 'b2', 'b3']))).toEqual(none);
    expect(handled.filter((id) => id.startsWith('a'))).toEqual(['a1', 'a2', 'a3']);
    expect(handled.filter((id) => id.startsWith('b'))).toEqual(['b1', 'b2', 'b3']);
    expect(most).toBe(2);
  });

  test('gives back the rest of a group after a failure, unrun; other groups go on', async () => {
    const handled: string[] = [];
    const { event, invoke, givenBack } = await fifoScene(
      ({ id }, { attempt }) => {
        handled.push(`${id}#${attempt}`);
        if (id === 'a2' && attempt === 1) throw new Error('not yet');
      },
      [7_000],
    );
    expect(await invoke(event(['a1', 'a2', 'a3', 'a4', 'b1', 'b2']))).toEqual(failures(['a2', 'a3', 'a4']));
    expect([...handled].sort()).toEqual(['a1#1', 'a2#1', 'b1#1', 'b2#1']);
    // The last one first: none becomes visible while one before it is not.
    expect(givenBack()).toEqual(['a4 in 7 s', 'a3 in 7 s', 'a2 in 7 s']);

    handled.length = 0;
    expect(await invoke(event(['a2', 'a3', 'a4'], 2))).toEqual(none);
    expect(handled).toEqual(['a2#2', 'a3#1', 'a4#1']);
  });

  test('counts no attempts of what waits behind a message that fails', async () => {
    const handled: string[] = [];
    const { event, invoke, deadLetters } = await fifoScene(
      ({ id }, { attempt }) => {
        handled.push(`${id}#${attempt}`);
        if (id === 'a1' && handled.length < 5) throw new RetryLater('later', { delayMs: 0 });
        if (id === 'a2' && attempt === 1) throw new Error('not yet');
      },
      [0, 0],
    );
    for (let receives = 1; receives <= 5; receives += 1) await invoke(event(['a1', 'a2'], receives));
    await invoke(event(['a2'], 6));
    expect(handled).toEqual(['a1#1', 'a1#1', 'a1#1', 'a1#1', 'a1#1', 'a2#1', 'a2#2']);
    expect(await deadLetters()).toEqual([]);
  });

  test('has what SQS handed out often run all the same: behind others it may never have run', async () => {
    const attempts: number[] = [];
    const { event, invoke } = await fifoScene((_order, { attempt }) => attempts.push(attempt), [0]);
    // Elsewhere: this process knows nothing of it.
    expect(await invoke(event(['a1', 'a2'], 50))).toEqual(none);
    expect(attempts).toEqual([50, 1]);
  });

  test('brings a message of which only one was received back in its order', async () => {
    const handled: string[] = [];
    const { publish, source, invoke } = await fifoScene(
      ({ id }, { attempt }) => {
        handled.push(`${id}#${attempt}`);
        if (attempt === 1 && id === 'a1') throw new Error('not yet');
      },
      [0],
    );
    await publish(['a1', 'a2'], 'a');
    while (handled.length < 3) await source.settleAfter(invoke);
    expect(handled).toEqual(['a1#1', 'a1#2', 'a2#1']);
  });
});
