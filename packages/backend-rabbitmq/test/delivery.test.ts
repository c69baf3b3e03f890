import { MelangeError } from '@melange/core';
import type { Message as AmqpMessage } from 'amqplib';
import { expect, test, vi } from 'vitest';
import type { Acknowledger } from '../src/consume/acknowledger.ts';
import { type Copies, type CopyCounts, RabbitMqDelivery } from '../src/consume/delivery.ts';
import { GivenBack } from '../src/consume/given-back.ts';
import { receivedOf } from '../src/wire/received-message.ts';

interface Parts {
  readonly copies?: Partial<Copies>;
  readonly headers?: Record<string, unknown>;
  readonly redelivered?: boolean;
  readonly givenBack?: GivenBack;
}

/** A delivery, and what the broker is told about it. */
function deliveryOf({ copies, headers = {}, redelivered = false, givenBack = new GivenBack() }: Parts) {
  const told: string[] = [];
  const acknowledger: Pick<Acknowledger, 'acknowledge' | 'giveBack' | 'reject'> = {
    acknowledge: async () => void told.push('acknowledge'),
    giveBack: () => void told.push('give back'),
    reject: () => void told.push('reject'),
  };
  const received = {
    content: Buffer.from('1'),
    fields: { deliveryTag: 1, redelivered },
    properties: { messageId: 'm-1', headers },
  };
  const delivery = new RabbitMqDelivery(
    receivedOf(received as unknown as AmqpMessage),
    acknowledger as Acknowledger,
    { queue: 'orders', forgetTroubles: () => undefined, ...copies } as Copies,
    givenBack,
    () => undefined,
  );
  return { delivery, told };
}

/** One whose copy AMQP cannot carry. */
function tooLarge(hasDeadLetterQueue: Copies['hasDeadLetterQueue']) {
  const fail = async (): Promise<void> => {
    throw new MelangeError('MESSAGE_TOO_LARGE', 'The headers are too large.');
  };
  return deliveryOf({ copies: { retryLater: fail, deadLetter: fail, hasDeadLetterQueue } });
}

test('a dead letter that cannot be copied is left to the broker, where it has a dead-letter queue', async () => {
  const { delivery, told } = tooLarge(async () => true);
  await delivery.deadLetter({ reason: 'test' });
  expect(told).toEqual(['reject']);
});

test('one whose dead-letter queue is gone meanwhile, or not known of, goes back: the broker would drop it', async () => {
  const answers = [async () => false, () => Promise.reject(new Error('no answer'))];
  const gone = answers.map((later) => tooLarge(vi.fn(later).mockResolvedValueOnce(true)));
  const settled = await Promise.allSettled(
    gone.map(({ delivery }) => delivery.deadLetter({ reason: 'test' })),
  );
  for (const outcome of settled) expect(outcome).toMatchObject({ reason: { code: 'MESSAGE_TOO_LARGE' } });
  expect(gone.map(({ told }) => told)).toEqual([['give back'], ['give back']]);
});

test.each([
  ['failed', { failedBefore: 4, redeliveries: 0 }],
  ['deferred', { failedBefore: 3, redeliveries: 0 }],
  ['not-run', { failedBefore: 3, redeliveries: 2 }],
] as const)('a copy that comes again because it %s counts on from %j', async (because, expected) => {
  const counts: CopyCounts[] = [];
  const retryLater = async (_: unknown, copied: CopyCounts): Promise<void> => void counts.push(copied);
  const headers = { melange_attempt: '3', 'x-delivery-count': 2 };
  const { delivery } = deliveryOf({ copies: { retryLater }, headers, redelivered: true });
  expect(delivery).toMatchObject({ attempt: 4, redeliveries: 2 });
  await delivery.retry({ because });
  expect(counts).toEqual([expected]);
});

test('what this process gave back itself is no redelivery, and what others did is', async () => {
  const givenBack = new GivenBack();
  for (let round = 0; round < 2; round += 1) await deliveryOf({ givenBack }).delivery.release();
  const counted = { headers: { 'x-delivery-count': 5 }, redelivered: true, givenBack };
  expect(deliveryOf(counted).delivery.redeliveries).toBe(3);
  await deliveryOf(counted).delivery.acknowledge();
  // Another message of the same id: nothing is known of it.
  expect(deliveryOf(counted).delivery.redeliveries).toBe(5);
});

test('so many messages are given back, that the first are forgotten', () => {
  const givenBack = new GivenBack();
  const received = (id: string) => ({ message: { id }, redeliveries: 1 }) as never;
  for (let n = 0; n <= 10_000; n += 1) givenBack.add('orders', received(`${n}`));
  expect(givenBack.redeliveriesOf('orders', received('0'))).toBe(1);
  expect(givenBack.redeliveriesOf('orders', received('1'))).toBe(0);
  expect(givenBack.redeliveriesOf('others', received('1'))).toBe(1);
});
