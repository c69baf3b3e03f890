import { describe, expect, test, vi } from 'vitest';
import { backendFor, inbox, message, noBroker, queueName, url } from './support/scene.ts';

describe.skipIf(url === '')(`RabbitMQ${url === '' ? ` (${noBroker})` : ''}`, () => {
  test.each([{ untilEmpty: false }, { untilEmpty: true }])(
    'takes a bound of messages in flight that is above what AMQP can say: %o',
    async ({ untilEmpty }) => {
      const backend = backendFor();
      const queue = queueName(backend);
      await backend.declareQueue(queue);
      await backend.publishToQueue(queue, [message('one')]);
      const received = inbox((delivery) => delivery.acknowledge());
      const subscription = await backend.subscribe(
        queue,
        { maxInFlight: 70_000, untilEmpty },
        received.receive,
      );
      await vi.waitFor(() => expect(received.deliveries).toHaveLength(1), { timeout: 15_000 });
      if (untilEmpty) await subscription.ended;
      else await subscription.close();
    },
  );
});
