import { expect, test } from 'vitest';
import { ManualClock, settled } from '../../core/test/support/manual-clock.ts';
import type { Sqs, VisibilityChange } from '../src/client/sqs.ts';
import { Visibilities } from '../src/consume/visibilities.ts';

const hour = 3_600_000;

/** Changes that are answered when the test says so. No emulator holds a message for twelve hours while a test waits. */
function scene() {
  const clock = new ManualClock();
  const sent: (VisibilityChange & { readonly at: number })[] = [];
  const answers: ((errors?: readonly unknown[]) => void)[] = [];
  const changeVisibilities = (_: string, changes: readonly VisibilityChange[]) => {
    sent.push(...changes.map((change) => ({ ...change, at: clock.monotonicNow() })));
    return new Promise((resolve) => answers.push(resolve));
  };
  const visibilities = new Visibilities({ changeVisibilities } as unknown as Sqs, async () => 'url', clock);
  const receipt = (ReceiptHandle: string) => ({ raw: { ReceiptHandle }, receivedAt: clock.monotonicNow() });
  const answer = async (errors?: readonly unknown[]): Promise<void> => {
    await settled();
    answers.shift()?.(errors);
    await settled();
  };
  return { clock, sent, visibilities, receipt, answer };
}

/** Whether SQS takes a change of a message that we got at this time; requests and answers are 5 s on their way. */
function isAllowed(
  { at, seconds }: { readonly at: number; readonly seconds: number },
  received: number,
): boolean {
  return at + 5_000 + seconds * 1_000 <= received - 5_000 + 12 * hour;
}

const refusalOf = (message: string) => Object.assign(new Error(message), { name: 'InvalidParameterValue' });

test('a message is held for twelve hours after its receive at most, and nothing is asked for that SQS would refuse', async () => {
  const { clock, sent, visibilities, receipt, answer } = scene();
  const held = receipt('handle');
  const from = clock.monotonicNow();
  let failedAfter = 0;
  while (failedAfter === 0) {
    const renewal = visibilities.extend([held], 1_800);
    await answer();
    const { failed, reason } = await renewal;
    if (failed.length > 0) {
      failedAfter = clock.monotonicNow() - from;
      expect(reason).toContain('twelve hours');
    }
    await clock.advance(600_000);
  }
  expect(failedAfter).toBeGreaterThan(12 * hour - 1_800_000 - 630_000);
  expect(sent.filter((change) => !isAllowed(change, from))).toEqual([]);
});

test('a retry is delayed no further than the twelve hours', async () => {
  const { sent, visibilities, receipt, answer } = scene();
  const held = receipt('handle');
  const ended = visibilities.end(held, 24 * hour);
  await answer();
  await ended;
  expect(sent).toHaveLength(1);
  expect(sent[0]?.seconds).toBeGreaterThan(12 * 3_600 - 60);
  expect(sent.filter((change) => !isAllowed(change, held.receivedAt))).toEqual([]);
});

test('of an extension those are lost whose receipts are, and those that are refused for their time are not', async () => {
  const { visibilities, receipt, answer } = scene();
  const [lost, long, busy, kept] = ['lost', 'long', 'busy', 'kept'].map(receipt) as [
    never,
    never,
    never,
    never,
  ];
  const renewal = visibilities.extend([lost, long, busy, kept], 30);
  await answer([
    refusalOf('Value AQEB for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.'),
    refusalOf(
      'Value 30 for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the message is beyond the limit [43200 seconds].',
    ),
    Object.assign(new Error('busy'), { name: 'InternalError' }),
    undefined,
  ]);
  expect(await renewal).toEqual({
    lost: [lost],
    failed: [long, busy],
    reason: expect.stringContaining('busy'),
  });
});

test('what was given back is extended no more', async () => {
  const { sent, visibilities, receipt, answer } = scene();
  const [given, held] = [receipt('given'), receipt('held')];
  const ended = visibilities.end(given, 0);
  await answer();
  await ended;
  const renewal = visibilities.extend([given, held], 30);
  await answer();
  expect(await renewal).toEqual({ lost: [], failed: [] });
  expect(sent.map(({ receiptHandle, seconds }) => [receiptHandle, seconds])).toEqual([
    ['given', 0],
    ['held', 30],
  ]);
});

test('what goes back does so behind an extension that is under way, which would hide it again', async () => {
  const { sent, visibilities, receipt, answer } = scene();
  const held = receipt('handle');
  const renewal = visibilities.extend([held], 30);
  const ended = visibilities.end(held, 0);
  await settled();
  expect(sent.map(({ seconds }) => seconds)).toEqual([30]);
  await answer();
  expect(sent.map(({ seconds }) => seconds)).toEqual([30, 0]);
  await answer();
  await Promise.all([renewal, ended]);
});
