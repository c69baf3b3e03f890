import type { MemoryBackend } from '@melange/backend-memory';
import type { Delivery, Message, SubscribeOptions, Subscription } from '@melange/core';

/** A message with the given id, and content that says so. */
export function message(id: string, overrides: Partial<Message> = {}): Message {
  return {
    id,
    content: `content of ${id}`,
    manifest: 'json',
    serializerId: 1,
    key: undefined,
    headers: {},
    publishedAt: 1,
    ...overrides,
  };
}

/** A subscription with what it received. */
export interface Inbox {
  readonly subscription: Subscription;
  readonly deliveries: Delivery[];
  /** Ids and attempts of what it received, as `id#attempt`. */
  readonly seen: string[];
}

/** Subscribes and keeps every delivery, unsettled. */
export async function open(
  backend: MemoryBackend,
  queue: string,
  options: Partial<SubscribeOptions> = {},
): Promise<Inbox> {
  const deliveries: Delivery[] = [];
  const seen: string[] = [];
  const subscription = await backend.subscribe(queue, { maxInFlight: 10, ...options }, (delivery) => {
    deliveries.push(delivery);
    seen.push(`${delivery.message.id}#${delivery.attempt}`);
  });
  return { subscription, deliveries, seen };
}

/** The first delivery of that message. */
export function of(inbox: Inbox, id: string): Delivery {
  const delivery = inbox.deliveries.find((one) => one.message.id === id);
  if (delivery === undefined) throw new Error(`${id} was not delivered; seen: ${inbox.seen.join(', ')}`);
  return delivery;
}
