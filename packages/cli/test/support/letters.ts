import { randomUUID } from 'node:crypto';
import type { Message, MessagingBackend } from '@melange/core';

/** A queue and its dead-letter queue, with names of their own. */
export async function queues(backend: MessagingBackend): Promise<{ queue: string; dead: string }> {
  const queue = `cli-${randomUUID()}`;
  const dead = `${queue}-dead`;
  await backend.declareQueue(queue, { deadLetterQueue: dead });
  return { queue, dead };
}

/** A message; parts as given. */
export function message(id: string, parts: Partial<Message> = {}): Message {
  return {
    id,
    content: `{"order":"${id}"}`,
    manifest: 'OrderPlaced',
    serializerId: 1,
    key: undefined,
    headers: { tenant: 'acme' },
    publishedAt: 1_700_000_000_000,
    ...parts,
  };
}

/** Publishes messages and dead-letters all of them. */
export async function fail(
  backend: MessagingBackend,
  queue: string,
  messages: readonly Message[],
  errorOf: (message: Message) => Error = ({ id }) => new TypeError(`order ${id} has no total`),
): Promise<void> {
  await backend.publishToQueue(queue, messages);
  let left = messages.length;
  await new Promise<void>((resolve, reject) => {
    backend
      .subscribe(queue, { maxInFlight: 200 }, (delivery) => {
        const error = errorOf(delivery.message);
        delivery
          .deadLetter({ reason: 'rejected', error, consumer: 'billing' })
          .then(() => {
            left -= 1;
            if (left === 0) resolve();
          })
          .catch(reject);
      })
      .then((subscription) => closing.push(() => subscription.close()), reject);
  });
  await Promise.all(closing.splice(0).map((close) => close()));
}

const closing: (() => Promise<void>)[] = [];

/** What waits in a queue, taken out of it. */
export async function drain(backend: MessagingBackend, queue: string): Promise<readonly Message[]> {
  const messages: Message[] = [];
  const subscription = await backend.subscribe(queue, { maxInFlight: 200, untilEmpty: true }, (delivery) => {
    messages.push(delivery.message);
    void delivery.acknowledge();
  });
  await subscription.ended;
  await subscription.close();
  return messages;
}
