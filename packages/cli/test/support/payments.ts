import { RabbitMqBackend } from '@melange/backend-rabbitmq';
import { silentLogger } from '@melange/core';
import { type AnyService, defineMessage, defineService } from '@melange/service';
import { z } from 'zod';

const shape = z.object({ paymentId: z.string(), amount: z.number(), currency: z.string().optional() });

/** What customers owe. */
export class PaymentDue extends defineMessage('PaymentDue', shape) {}

/** The service of the page, its queue under a name of its own. */
export function paymentsService(prefix: string, charge: (payment: PaymentDue) => void): AnyService {
  const { RABBITMQ_URL: url = 'amqp://127.0.0.1' } = process.env;
  const queue = `${prefix}payments`;
  return defineService({
    name: 'payments',
    backend: new RabbitMqBackend({ url, logger: silentLogger }),
    messages: [PaymentDue],
    queues: { [queue]: { deadLetterQueue: `${queue}-dead`, concurrency: 100 } },
    logger: silentLogger,
  }).on(queue, PaymentDue, charge);
}
