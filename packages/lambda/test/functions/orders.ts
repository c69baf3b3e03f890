import { SqsBackend } from '@melange/backend-sqs';
import { defineService } from '@melange/service';
import { lambdaHandler } from '../../src/index.ts';

class OrderPlaced {
  readonly id: string;

  constructor(id: string) {
    this.id = id;
  }
}

const { SQS_URL: endpoint, QUEUE: queue = 'orders' } = process.env;

const billing = defineService({
  name: 'billing',
  backend: new SqsBackend({ client: { ...(endpoint !== undefined && { endpoint }) } }),
  messages: [OrderPlaced],
  queues: { [queue]: { concurrency: 10 } },
}).on(queue, OrderPlaced, async ({ id }, { signal, attempt }) => {
  if (id === 'slow') await new Promise((resolve) => signal.addEventListener('abort', resolve));
  if (id === 'fails') throw new Error('not yet');
  console.log(`handled ${id}, attempt ${attempt}`);
});

/** What Lambda is told to call. */
export const handler = lambdaHandler(billing, queue);
