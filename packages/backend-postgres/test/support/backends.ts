import { randomUUID } from 'node:crypto';
import type { Delivery, Message, MessagingBackend } from '@melange/core';

/** A message with what the test gives, and nothing else. */
export function messageOf(fields: Partial<Message> = {}): Message {
  const absent = { manifest: undefined, serializerId: undefined, key: undefined, publishedAt: undefined };
  return { id: randomUUID(), content: '{}', headers: {}, ...absent, ...fields };
}

/** Everything that is in a queue now, acknowledged. */
export async function drained(backend: MessagingBackend, queue: string): Promise<Delivery[]> {
  const deliveries: Delivery[] = [];
  const subscription = await backend.subscribe(queue, { maxInFlight: 100, untilEmpty: true }, (delivery) => {
    deliveries.push(delivery);
    void delivery.acknowledge();
  });
  await subscription.ended;
  await subscription.close();
  return deliveries;
}
