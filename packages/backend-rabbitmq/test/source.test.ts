import type { DriverContext } from '@melange/backend-kit';
import { MelangeError, silentLogger } from '@melange/core';
import { expect, test, vi } from 'vitest';
import { ManualClock, settled } from '../../core/test/support/manual-clock.ts';
import type { Channel } from '../src/client/connection.ts';
import { Copies } from '../src/consume/copies.ts';
import { GivenBack } from '../src/consume/given-back.ts';
import { Source } from '../src/consume/source.ts';
import type { OutgoingMessage } from '../src/wire/outgoing-message.ts';
import type { Received } from '../src/wire/received-message.ts';

interface Parts {
  readonly publish?: DriverContext['publish'];
  readonly exists?: (name: string) => Promise<boolean>;
  readonly countsDeliveries?: boolean;
  readonly givenBack?: GivenBack;
}

/** A source whose channel notes what it is told. */
async function opened(parts: Parts = {}) {
  const { publish = async () => undefined, exists = async () => true, countsDeliveries = true } = parts;
  const { givenBack = new GivenBack() } = parts;
  const told: string[] = [];
  let consumer: (message: unknown) => void = () => undefined;
  const channel = {
    on: () => undefined,
    prefetch: async () => undefined,
    consume: async (_: string, receive: typeof consumer) => {
      consumer = receive;
    },
    ack: () => told.push('acknowledge'),
    nack: (_: unknown, __: boolean, requeue: boolean) => told.push(requeue ? 'give back' : 'reject'),
  } as unknown as Channel;
  const clock = new ManualClock();
  const context = { clock, logger: silentLogger, publish } as unknown as DriverContext;
  const deliveries: Received[] = [];
  const source = new Source(
    {
      queue: 'orders',
      maxInFlight: 10,
      untilEmpty: false,
      channel,
      countsDeliveries,
      copies: new Copies('orders', context),
      channels: { queueExists: exists, exchangeExists: exists } as never,
      givenBack,
      context,
    },
    {
      deliver: (received) => void deliveries.push(received),
      empty: () => undefined,
      takenBack: () => undefined,
      lost: () => undefined,
    },
  );
  await source.start(undefined);
  const receive = (headers: Record<string, unknown> = {}, redelivered = false): Received => {
    consumer({
      content: Buffer.from('1'),
      fields: { deliveryTag: 1, redelivered },
      properties: { messageId: 'm-1', headers },
    });
    return deliveries.at(-1) as Received;
  };
  return { source, told, clock, deliveries, receive };
}

const tooLarge = async (): Promise<never> => {
  throw new MelangeError('MESSAGE_TOO_LARGE', 'The headers are too large.');
};

test('a dead letter that cannot be copied is left to the broker, where its dead-letter queue is there', async () => {
  const { source, told, receive } = await opened({ publish: tooLarge });
  const received = receive();
  await source.deadLetter(received, 'dead', received.message);
  expect(told).toEqual(['reject']);
});

test('one whose dead-letter queue or exchange is gone, or not known of, is not: the broker would drop it', async () => {
  const answers = [
    async (name: string) => name !== 'dead',
    async (name: string) => name !== 'orders.dead-letter',
    () => Promise.reject(new Error('no answer')),
  ];
  for (const exists of answers) {
    const { source, told, receive } = await opened({ publish: tooLarge, exists });
    const received = receive();
    const refused = source.deadLetter(received, 'dead', received.message);
    await expect(refused).rejects.toMatchObject({ code: 'MESSAGE_TOO_LARGE' });
    expect(told).toEqual([]);
  }
});

test('a copy that comes again carries attempt and redeliveries, and is acknowledged when it is confirmed', async () => {
  const copies: Pick<OutgoingMessage, 'attempt' | 'redeliveries'>[] = [];
  let confirm = (): void => undefined;
  const publish: DriverContext['publish'] = (_, __, outgoing) => {
    copies.push(outgoing as OutgoingMessage);
    return new Promise((resolve) => {
      confirm = resolve;
    });
  };
  const { source, told, receive } = await opened({ publish });
  const received = receive({ melange_attempt: '3', 'x-delivery-count': 2 }, true);
  expect(received).toMatchObject({ attempt: 4, redeliveries: 2 });
  const retrying = source.retry(received, { attempt: 5, redeliveries: 7, delayMs: 0 });
  await settled();
  expect(told).toEqual([]);
  expect(copies).toMatchObject([{ attempt: 4, redeliveries: 7 }]);
  confirm();
  await retrying;
  await settled();
  expect(told).toEqual(['acknowledge']);
});

test('what this process gave back itself is no redelivery, and what others did is', async () => {
  const givenBack = new GivenBack();
  for (let round = 0; round < 2; round += 1) {
    const { source, receive } = await opened({ givenBack });
    source.release([receive()]);
  }
  const { source, receive } = await opened({ givenBack });
  const counted = receive({ 'x-delivery-count': 5 }, true);
  expect(counted.redeliveries).toBe(3);
  void source.finish(counted);
  // Another message of the same id: nothing is known of it.
  expect(receive({ 'x-delivery-count': 5 }, true).redeliveries).toBe(5);
});

test('what a classic queue hands out again goes behind the others as a copy that counts, and back when it cannot', async () => {
  const publish = vi.fn<DriverContext['publish']>().mockRejectedValueOnce(new Error('no broker'));
  const { told, clock, deliveries, receive } = await opened({ countsDeliveries: false, publish });
  receive({}, true);
  await settled();
  expect(told).toEqual([]);
  await clock.advance(1_000);
  expect(told).toEqual(['give back']);
  receive({ melange_redeliveries: '4' }, true);
  await settled();
  expect(publish.mock.calls[1]?.[2]).toMatchObject({ attempt: 0, redeliveries: 4 });
  expect(told).toEqual(['give back', 'acknowledge']);
  expect(deliveries).toEqual([]);
  receive();
  expect(deliveries).toHaveLength(1);
});

test('so many messages are given back, that the first are forgotten', () => {
  const givenBack = new GivenBack();
  const received = (id: string) => ({ message: { id }, redeliveries: 1 }) as never;
  for (let n = 0; n <= 10_000; n += 1) givenBack.add('orders', received(`${n}`));
  expect(givenBack.redeliveriesOf('orders', received('0'))).toBe(1);
  expect(givenBack.redeliveriesOf('orders', received('1'))).toBe(0);
  expect(givenBack.redeliveriesOf('others', received('1'))).toBe(1);
});
