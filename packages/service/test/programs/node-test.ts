import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryBackend } from '@melange/backend-memory';
import { defineService } from '@melange/service';
import { InvoicePaid, OrderPlaced } from '../support/messages.ts';

const billing = defineService({
  name: 'billing',
  backend: new MemoryBackend(),
  messages: [OrderPlaced, InvoicePaid],
  queues: { orders: { deadLetterQueue: 'orders-dead' } },
  publishes: { 'billing-events': [InvoicePaid] },
}).on('orders', OrderPlaced, async ({ id }, { publish, attempt }) => {
  if (attempt === 1) throw new Error('not yet');
  await publish('billing-events', new InvoicePaid({ orderId: id }));
});

test('an order is billed at the second attempt', async () => {
  const t = await billing.test();
  await t.deliver('orders', new OrderPlaced({ id: '1' }));
  assert.deepEqual(t.published(InvoicePaid), []);
  await t.advance('1h');
  assert.deepEqual(t.published(InvoicePaid), [new InvoicePaid({ orderId: '1' })]);
  assert.deepEqual(t.deadLetters('orders'), []);
  await t.stop();
});
