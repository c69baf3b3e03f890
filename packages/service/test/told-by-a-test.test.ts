import { MemoryBackend } from '@melange/backend-memory';
import { defineMessage, exponentialBackoff, Reject } from '@melange/core';
import { MemoryDeduplicationCache } from '@melange/dedup-memory';
import { defineService, type ServiceTest } from '@melange/service';
import { afterEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { InvoicePaid, OrderCancelled, OrderPlaced, PayInvoice } from './support/messages.ts';
import { RecordingLogger } from './support/recording-logger.ts';

/** Takes its time to be validated. */
const slow = z.object({ orderId: z.string() }).refine(async () => {
  await outside();
  return true;
});
class Audited extends defineMessage('Audited', slow) {}

const messages = [OrderPlaced, OrderCancelled, InvoicePaid, PayInvoice, Audited] as const;
const tests: ServiceTest[] = [];
afterEach(() => Promise.all(tests.splice(0).map((test) => test.stop())));

async function opened<Test extends { stop(): Promise<void> }>(starting: Promise<Test>): Promise<Test> {
  const test = await starting;
  tests.push(test as unknown as ServiceTest);
  return test;
}

/** Real time, as work outside of the process takes it. */
const outside = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

const declaration = {
  name: 'billing',
  backend: new MemoryBackend(),
  messages,
  cache: new MemoryDeduplicationCache(),
  queues: {
    orders: {
      topics: ['order-events'],
      deadLetterQueue: 'orders-dead',
      retry: exponentialBackoff({ maxAttempts: 3 }),
    },
    invoices: { topics: ['billing-events'] },
  },
  publishes: { 'billing-events': [InvoicePaid] },
  sends: { payments: [PayInvoice], audit: [Audited], orders: [OrderPlaced] },
} as const;

describe('what is told of a test', () => {
  it('is what was dead-lettered, and why', async () => {
    const billing = defineService(declaration).on('orders', OrderPlaced, ({ id }) => {
      throw id === 'bad' ? new Reject('never') : new Error('down');
    });
    const t = await opened(billing.test());
    await t.deliver('orders', new OrderPlaced({ id: 'bad' }), { headers: { tenant: 'shop' } });
    const id = await t.deliver('orders', new OrderPlaced({ id: '1' }));
    expect(t.deadLetters('orders')[0]).toMatchObject({
      reason: 'rejected',
      message: new OrderPlaced({ id: 'bad' }),
      headers: { tenant: 'shop' },
      attempts: 1,
      error: { message: 'never' },
    });
    await t.advance('1h');
    expect(t.deadLetters('orders').at(-1)).toMatchObject({
      reason: 'attempts exhausted',
      attempts: 3,
      id,
      error: { message: 'down' },
    });
    expect(() => t.deadLetters('invoices')).toThrow('has no dead-letter queue');
  });

  it('is what was published, as its reader sees it, with its envelope', async () => {
    const billing = defineService(declaration).on('orders', OrderPlaced, async ({ id }, { publish }) => {
      await publish('billing-events', new InvoicePaid({ orderId: id }), { key: id });
    });
    const t = await opened(billing.test());
    await t.deliver('orders', new OrderPlaced({ id: '1' }), { id: 'm-1', correlationId: 'c-1' });
    expect(t.publications()).toMatchObject([
      {
        message: new InvoicePaid({ orderId: '1' }),
        destination: { kind: 'topic', name: 'billing-events' },
        key: '1',
        headers: { correlationId: 'c-1', causationId: 'm-1' },
      },
    ]);
    expect(t.published(OrderPlaced)).toEqual([]);
  });

  it('is once what was published to one topic on several brokers', async () => {
    const both = defineService({
      ...declaration,
      backend: { default: new MemoryBackend(), other: new MemoryBackend() },
      publishes: { 'billing-events': { messages: [InvoicePaid], backend: ['default', 'other'] } },
    }).on('orders', OrderPlaced, async ({ id }, { publish }) => {
      await publish('billing-events', new InvoicePaid({ orderId: id }));
    });
    const t = await opened(both.test());
    await t.deliver('orders', new OrderPlaced({ id: '1' }));
    expect(t.published(InvoicePaid)).toHaveLength(1);
  });

  it('goes to the logger that is given', async () => {
    const logger = new RecordingLogger();
    const billing = defineService(declaration).on('orders', OrderPlaced, (_, context) =>
      context.logger.info('here'),
    );
    const t = await opened(billing.test({ logger }));
    await t.deliver('orders', new OrderPlaced({ id: '1' }));
    expect(logger.lines.items.map(({ message }) => message)).toContain('here');
  });
});
