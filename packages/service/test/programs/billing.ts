import { createInterface } from 'node:readline';
import { RabbitMqBackend } from '@melange/backend-rabbitmq';
import { defineService } from '@melange/service';
import { OrderPlaced } from '../support/messages.ts';

/** A service whose handler goes on when it is told to by a line of standard input, and never where there is none. */
const { URL_OF_BROKER: url = '', QUEUE: queue = '', RUN_OPTIONS: options = '{}' } = process.env;
const lines = createInterface({ input: process.stdin });
const told = new Promise<void>((resolve) => lines.once('line', () => resolve()));

const billing = defineService({
  name: 'billing',
  backend: new RabbitMqBackend({ url }),
  messages: [OrderPlaced],
  queues: { [queue]: { deadLetterQueue: `${queue}-dead` } },
  publishes: { [`${queue}-events`]: [OrderPlaced] },
}).on(queue, OrderPlaced, async ({ id }, { publish }) => {
  console.log(`begun ${id}`);
  await told;
  // While it stops, what handlers publish still goes out.
  await publish(`${queue}-events`, new OrderPlaced({ id }));
  console.log(`finished ${id}`);
});
await billing.run({ host: '127.0.0.1', ...(JSON.parse(options) as object) });
lines.close();
process.stdin.destroy();
