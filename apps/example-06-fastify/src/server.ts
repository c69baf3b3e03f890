import {
  type MessageDispatcher,
  type MessagingBackend,
  QueuePublisher,
  SerializerRegistry,
  SimpleMessageDispatcher,
  SingleDispatchConsumer,
} from '@melange/core';
import { JsonSerializer } from '@melange/serializer-json';
import { type FastifyInstance, fastify } from 'fastify';

/** Asks for a receipt by mail. */
export class SendReceipt {
  readonly orderId: string;
  constructor(orderId: string) {
    this.orderId = orderId;
  }
}

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
  const json = new JsonSerializer([SendReceipt]);
  const serializers = new SerializerRegistry({ serializers: { json }, default: 'json' });
  const publisher = new QueuePublisher({ backend, serializers });
  const receipts = new SingleDispatchConsumer('receipts').on(SendReceipt, ({ orderId }, { signal }) =>
    mail(orderId, signal),
  );
  const dispatcher = new SimpleMessageDispatcher(receipts, { backend, serializers });

  const server = fastify();
  server.post<{ Params: { readonly orderId: string } }>('/orders/:orderId', async ({ params }, reply) => {
    await publisher.publish(queue, new SendReceipt(params.orderId));
    return reply.code(202).send(); // answered when the broker has safely taken the message
  });
  addHealth(server, dispatcher);

  let running: Promise<void> | undefined;
  server.addHook('onReady', async () => {
    await backend.declareQueue(queue);
    running = dispatcher.consumeLoop(queue);
    // A loop ends early only when the backend gives up for good: better to be restarted than to be silent.
    running.catch(() => server.close());
  });
  // Fastify takes no new requests by now, and those under way are answered.
  server.addHook('onClose', async () => {
    await dispatcher.close({ deadlineMs });
    await running?.catch(() => undefined);
    await backend.close();
  });
  return server;
}

/** `/live`: restart me when it fails. `/ready`: send me no traffic while it fails. */
function addHealth(server: FastifyInstance, dispatcher: MessageDispatcher): void {
  server.get('/live', async () => ({ status: 'alive' }));
  server.get('/ready', async (_request, reply) => {
    const health = await dispatcher.health();
    return reply.code(health.status === 'unhealthy' ? 503 : 200).send(health);
  });
}
