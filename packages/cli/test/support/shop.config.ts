import { RabbitMqBackend } from '@melange/backend-rabbitmq';
import { silentLogger } from '@melange/core';
import { defineMessage, defineService } from '@melange/service';
import { z } from 'zod';
import { defineConfig, type MelangeConfig } from '../../src/index.ts';

const { RABBITMQ_URL: url = 'amqp://127.0.0.1', CLI_PREFIX: prefix = 'cli' } = process.env;

class OrderPlaced extends defineMessage(
  'OrderPlaced',
  z.object({ orderId: z.string(), total: z.number() }),
) {}
class OrderPaid extends defineMessage('OrderPaid', z.object({ orderId: z.string() })) {}

const billing = defineService({
  name: 'billing',
  backend: new RabbitMqBackend({ url, logger: silentLogger }),
  messages: [OrderPlaced, OrderPaid],
  queues: {
    [`${prefix}-orders`]: { topics: [`${prefix}-events`], deadLetterQueue: `${prefix}-orders-dead` },
  },
  publishes: { [`${prefix}-events`]: [OrderPlaced, OrderPaid] },
  logger: silentLogger,
}).on(`${prefix}-orders`, OrderPlaced, () => undefined);

const config: MelangeConfig = defineConfig({ services: [billing] });
export default config;
