import { MelangeError } from '@melange/core';
import type { Message as AmqpMessage } from 'amqplib';
import { expect, test, vi } from 'vitest';
import type { Acknowledger } from '../src/acknowledger.ts';
import { type Copies, RabbitMqDelivery } from '../src/rabbitmq-delivery.ts';
import { receivedOf } from '../src/rabbitmq-message-mapper.ts';

/** A delivery whose copy amqplib cannot encode, and what the broker is told about it. */
function tooLarge(hasDeadLetterQueue: Copies['hasDeadLetterQueue']) {
  const told: string[] = [];
  const acknowledger: Pick<Acknowledger, 'acknowledge' | 'giveBack' | 'reject'> = {
    acknowledge: async () => void told.push('acknowledge'),
    giveBack: () => void told.push('give back'),
    reject: () => void told.push('reject'),
  };
  const fail = async (): Promise<void> => {
    throw new MelangeError('MESSAGE_TOO_LARGE', 'The headers are too large.');
  };
  const copies: Copies = { queue: 'orders', retryLater: fail, deadLetter: fail, hasDeadLetterQueue };
  const received = { content: Buffer.from('1'), fields: { deliveryTag: 1 }, properties: { headers: {} } };
  const delivery = new RabbitMqDelivery(
    receivedOf(received as unknown as AmqpMessage),
    acknowledger as Acknowledger,
    copies,
    () => undefined,
  );
  return { delivery, told };
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
