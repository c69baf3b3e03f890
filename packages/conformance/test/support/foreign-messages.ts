import {
  type ConsumeContext,
  fixedDelays,
  type Message,
  MessageDispatcher,
  type MessagingBackend,
  SerializerRegistry,
  silentLogger,
} from '@melange/core';
import { JsonSerializer } from '@melange/serializer-json';
import { descriptorTypes, ProtobufSerializer } from '@melange/serializer-protobuf';
import { expect, vi } from 'vitest';

const types = descriptorTypes({
  nested: { shop: { nested: { Order: { fields: { id: { type: 'string', id: 1 } } } } } },
});

/** Bound to the protobuf type `shop.Order`. */
export class Order {
  static readonly manifest: string = 'shop.Order';
  readonly id: string = '';
}

/** `o-1` in protobuf. */
export const orderContent: Uint8Array = types.get('shop.Order')?.encode({ id: 'o-1' }) ?? new Uint8Array();

/** A queue with a dead-letter queue. */
export interface ForeignScene {
  readonly backend: MessagingBackend;
  readonly queue: string;
  readonly dead: string;
}

/** What became of the messages. */
export interface Consumed {
  readonly processed: readonly { readonly value: unknown; readonly context: ConsumeContext }[];
  readonly deadLetters: readonly Message[];
}

/**
 * Consumes until so many messages were processed or dead-lettered, and then one more that comes after them: the loop
 * goes on. JSON is the default; the value `fails` fails twice.
 *
 * @param sendAnother sends `"the loop goes on"` as any client would.
 */
export async function consumed(
  { backend, queue, dead }: ForeignScene,
  count: number,
  sendAnother: (body: string) => Promise<unknown>,
): Promise<Consumed> {
  const serializers = new SerializerRegistry({
    serializers: {
      json: new JsonSerializer(),
      protobuf: new ProtobufSerializer({ types, classes: [Order] }),
    },
    default: 'json',
  });
  const retry = fixedDelays([0]);
  const dispatcher = new MessageDispatcher({ backend, serializers, logger: silentLogger, retry });
  const processed: { value: unknown; context: ConsumeContext }[] = [];
  dispatcher.attachConsumer({
    name: 'all',
    accepts: () => true,
    process: (value, context) => {
      processed.push({ value, context });
      if (value === 'fails') throw new Error('always');
    },
  });
  const deadLetters: Message[] = [];
  const letters = await backend.subscribe(dead, { maxInFlight: 10 }, (delivery) => {
    deadLetters.push(delivery.message);
    void delivery.acknowledge();
  });
  const stop = new AbortController();
  const loop = dispatcher.consumeLoop(queue, { signal: stop.signal });
  const soon = { timeout: 20_000, interval: 20 };
  await vi.waitFor(() => {
    const done = processed.filter(({ value }) => value !== 'fails').length + deadLetters.length;
    expect(done).toBe(count);
  }, soon);
  await sendAnother('"the loop goes on"');
  await vi.waitFor(() => expect(processed.at(-1)?.value).toBe('the loop goes on'), soon);
  stop.abort();
  await loop;
  await letters.close();
  return { processed: processed.slice(0, -1), deadLetters };
}
