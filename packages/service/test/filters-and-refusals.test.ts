import { MemoryBackend } from '@melange/backend-memory';
import { type MessageClass, type Serializer, SingleDispatchConsumer } from '@melange/core';
import { type AnyService, defineService, type Service, type ServiceDeclaration } from '@melange/service';
import { afterEach, describe, expect, it } from 'vitest';
import { InvoicePaid, OrderCancelled, OrderPlaced, PayInvoice } from './support/messages.ts';
import { Collected } from './support/promises.ts';

const messages = [OrderPlaced, OrderCancelled, InvoicePaid, PayInvoice] as const;
const services: AnyService[] = [];
afterEach(() => Promise.all(services.splice(0).map((service) => service.stop())));

/** Stopped when the test is over. */
function kept<Kept extends AnyService>(service: Kept): Kept {
  services.push(service);
  return service;
}

/** A service that is put together at run time, as the compiler would refuse it. */
function unchecked(declaration: Partial<ServiceDeclaration>): Service {
  return defineService({
    name: 'billing',
    backend: new MemoryBackend(),
    messages,
    ...declaration,
  } as ServiceDeclaration);
}

describe('the filter of a queue', () => {
  abstract class Event {
    abstract readonly at: string;
  }
  class Opened extends Event {
    static readonly manifest = 'Opened';
    readonly at: string = '';
  }
  class Closed extends Event {
    static readonly manifest = 'Closed';
    readonly at: string = '';
  }
  const filterOf = (
    queue: NonNullable<ServiceDeclaration['queues']>[string],
    handled: readonly MessageClass[],
    more: Partial<ServiceDeclaration> = {},
  ): readonly string[] | undefined => {
    const service = unchecked({
      messages: [...messages, Opened, Closed],
      queues: { orders: queue },
      ...more,
    });
    for (const type of handled) service.on('orders', type, () => undefined);
    return service.plan.queues[0]?.filter;
  };
  const topics = ['events'];

  it('follows from the handlers, a base class standing for all its messages', () => {
    expect(filterOf({ topics }, [OrderPlaced, InvoicePaid])).toEqual(['OrderPlaced', 'InvoicePaid']);
    expect(filterOf({ topics }, [Event])).toEqual(['Opened', 'Closed']);
  });

  it('is none where nobody knows what is wanted: consumers of any kind, no handlers, no topics', () => {
    const consumers = [{ name: 'all', accepts: () => true, process: () => undefined }];
    expect(filterOf({ topics, consumers }, [OrderPlaced])).toBeUndefined();
    expect(filterOf({ topics }, [])).toBeUndefined();
    expect(filterOf({}, [OrderPlaced])).toBeUndefined();
  });

  it('is none where a serializer does not tell a manifest before it has a value', () => {
    const shy: Serializer = {
      identifier: 41,
      manifest: (value) => (value as { id: string }).id.toUpperCase(),
      serialize: () => '',
      deserialize: () => undefined,
    };
    const bound = { serializers: { shy }, bindings: [[OrderPlaced, 'shy'] as const] };
    expect(filterOf({ topics }, [OrderPlaced, InvoicePaid], bound)).toBeUndefined();
  });

  it('is the declared one where there is one', () => {
    expect(filterOf({ topics, filter: 'all' }, [OrderPlaced])).toBeUndefined();
    expect(filterOf({ topics, filter: ['json', InvoicePaid] }, [OrderPlaced])).toEqual([
      'json',
      'InvoicePaid',
    ]);
  });

  it('keeps out of the queue what has no handler', async () => {
    const backend = new MemoryBackend();
    const handled = new Collected<string>();
    const billing = kept(
      defineService({
        name: 'billing',
        backend,
        messages,
        queues: { orders: { topics } },
        publishes: { events: [OrderPlaced, InvoicePaid] },
      }).on('orders', OrderPlaced, ({ id }) => handled.push(id)),
    );
    await billing.start();
    await billing.publish('events', new InvoicePaid({ orderId: '1' }));
    await billing.publish('events', new OrderPlaced({ id: '1' }));
    await handled.reach(1);
    expect(billing.counters().orders?.received).toBe(1);
  });
});

describe('what does not fit together, and the compiler could not see, is refused', () => {
  const queues = { orders: {} };
  it.each<[string, () => unknown]>([
    [
      'has a handler for OrderPlaced already',
      () => {
        const service = unchecked({ queues });
        service.on('orders', OrderPlaced, () => undefined);
        service.on('orders', OrderPlaced, () => undefined);
      },
    ],
    [
      'has no queue "order"; its queues: orders',
      () => unchecked({ queues }).on('order', OrderPlaced, () => undefined),
    ],
    [
      'OrderPlaced, handled on "orders", is not among its messages',
      () => unchecked({ queues, messages: [InvoicePaid] }).on('orders', OrderPlaced, () => undefined),
    ],
    [
      'OrderPlaced, published to "events", is not among its messages',
      () => unchecked({ messages: [], publishes: { events: [OrderPlaced] } }),
    ],
    [
      'the queue "orders" is on the backend "kafka", which it does not have',
      () => unchecked({ queues: { orders: { backend: 'kafka' } } }),
    ],
    [
      'say on which backend the queue "orders" is; its backends: kafka',
      () => unchecked({ backend: { kafka: new MemoryBackend() }, queues }),
    ],
    [
      'a consumer of "orders" has the service\'s own name',
      () => unchecked({ queues: { orders: { consumers: [new SingleDispatchConsumer('billing')] } } }),
    ],
    ['A service needs a name', () => unchecked({ name: '' })],
    ['concurrency', () => unchecked({ queues: { orders: { concurrency: 0 } } }).dispatcherFor('orders')],
  ])('%s', (message, act) => {
    expect(act).toThrow(message);
  });

  it('a handler that comes after the start, when the filters are declared', async () => {
    const billing = kept(unchecked({ queues }));
    await billing.start();
    expect(() => billing.on('orders', OrderPlaced, () => undefined)).toThrow('it was started');
  });
});
