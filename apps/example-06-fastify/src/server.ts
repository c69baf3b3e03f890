import type { MessagingBackend } from '@melange/core';
import { defineMessage, defineService } from '@melange/service';
import { type FastifyInstance, fastify } from 'fastify';
import { z } from 'zod';

/** Asks for a receipt by mail. */
export class SendReceipt extends defineMessage('SendReceipt', z.object({ orderId: z.string() })) {}

/** What the server is made of. */
export interface ServerOptions {
  readonly backend: MessagingBackend;
  readonly queue: string;
  /** Sends the mail. `signal` is aborted when it takes longer than the server may. */
  readonly mail: (orderId: string, signal: AbortSignal) => Promise<void>;
  /** How long stopping waits for mails under way, in ms. Below what the orchestrator grants. */
  readonly deadlineMs: number;
}

/** A server that takes orders by HTTP and mails receipts from a queue, until it is closed. */
export function buildServer({ backend, queue, mail, deadlineMs }: ServerOptions): FastifyInstance {
  const receipts = defineService({
    name: 'receipts',
    backend,
    messages: [SendReceipt],
    queues: { [queue]: {} },
    sends: { [queue]: [SendReceipt] },
    deadlineMs,
  }).on(queue, SendReceipt, ({ orderId }, { signal }) => mail(orderId, signal));

  const server = fastify();
  server.post<{ Params: { readonly orderId: string } }>('/orders/:orderId', async ({ params }, reply) => {
    await receipts.send(queue, new SendReceipt(params));
    return reply.code(202).send(); // answered when the broker has safely taken the message
  });
  // `/live`: restart me when it fails. `/ready`: send me no traffic while it fails.
  server.get('/live', async () => ({ status: 'alive' }));
  server.get('/ready', async (_request, reply) => {
    const health = await receipts.health();
    return reply.code(health.status === 'unhealthy' ? 503 : 200).send(health);
  });
  server.addHook('onReady', () => receipts.start());
  // Fastify takes no new requests by now, and those under way are answered.
  server.addHook('onClose', () => receipts.stop());
  // A queue is given up for good: better to be restarted than to be silent.
  receipts.ended.catch(() => server.close());
  return server;
}
