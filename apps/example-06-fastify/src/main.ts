import { randomUUID } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { MemoryBackend } from '@melange/backend-memory';
import { RabbitMqBackend } from '@melange/backend-rabbitmq';
import type { MessagingBackend } from '@melange/core';
import { buildServer } from './server.ts';

const { RABBITMQ_URL: url } = process.env;
const backend: MessagingBackend = url === undefined ? new MemoryBackend() : new RabbitMqBackend({ url });

process.once('SIGTERM', () => console.log('SIGTERM: draining'));
const terminated = once(process, 'SIGTERM');
const mails = new EventEmitter();
const server = buildServer({
  backend,
  queue: `receipts-${randomUUID()}`,
  async mail(orderId) {
    mails.emit('begun');
    await terminated; // a mail server that takes its time
    console.log(`the receipt of ${orderId} is mailed`);
  },
  deadlineMs: 10_000,
});

// What Kubernetes and a client would do.
const address = await server.listen({ port: 0 });
const ready = await fetch(`${address}/ready`);
console.log(`ready: ${ready.status} ${((await ready.json()) as { status: string }).status}`);
const begun = once(mails, 'begun');
const order = await fetch(`${address}/orders/order-1`, { method: 'POST' });
console.log(`order: ${order.status}`);
await begun;
process.kill(process.pid, 'SIGTERM');

await terminated;
await server.close();
console.log('closed');
