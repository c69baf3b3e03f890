import { randomUUID } from 'node:crypto';
import { DeadLetterHeader, type Message, type MessagingBackend } from '@melange/core';

/** What a test gives of a letter; the rest is that of a payment that failed. */
export interface LetterParts {
  readonly id?: string;
  readonly content?: string;
  readonly errorName?: string;
  readonly errorMessage?: string;
  readonly sourceQueue: string;
  readonly at?: number;
}

export function letter({ sourceQueue, ...parts }: LetterParts): Message {
  const { id = randomUUID(), content = '{"orderId":"17"}', at = Date.now() } = parts;
  return {
    id,
    content,
    manifest: 'PaymentDue',
    serializerId: 1,
    key: undefined,
    publishedAt: at - 60_000,
    headers: {
      [DeadLetterHeader.reason]: 'exhausted',
      [DeadLetterHeader.errorName]: parts.errorName ?? 'Error',
      [DeadLetterHeader.errorMessage]: parts.errorMessage ?? 'the bank is down',
      [DeadLetterHeader.attempts]: '10',
      [DeadLetterHeader.sourceQueue]: sourceQueue,
      [DeadLetterHeader.consumer]: 'billing',
      [DeadLetterHeader.deadLetteredAt]: new Date(at).toISOString(),
    },
  };
}

/** A queue and its dead-letter queue of their own. */
export async function queuePair(backend: MessagingBackend): Promise<{ queue: string; dead: string }> {
  const queue = `pay-${randomUUID().slice(0, 8)}`;
  const dead = `${queue}-dead`;
  await backend.declareQueue(queue, { deadLetterQueue: dead });
  return { queue, dead };
}

export async function publishAll(
  backend: MessagingBackend,
  queue: string,
  messages: readonly Message[],
): Promise<void> {
  for (let start = 0; start < messages.length; start += 500)
    await backend.publishToQueue(queue, messages.slice(start, start + 500));
}
