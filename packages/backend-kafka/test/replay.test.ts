import { describe, expect, test, vi } from 'vitest';
import { arrived, backendFor, inbox, message, noBroker, queueName, soon, url } from './support/scene.ts';

describe.skipIf(url === '')(`reading a queue of Kafka again${url === '' ? ` (${noBroker})` : ''}`, () => {
  test('gives again what was finished out of order, and leaves retries waiting', async () => {
    const backend = backendFor();
    const queue = queueName(backend);
    await backend.declareQueue(queue, { partitions: 1 });
    await backend.publishToQueue(
      queue,
      ['0', '1', '2', '3'].map((content) => message(content, { key: content })),
    );
    const first = inbox((delivery) => {
      const { content } = delivery.message;
      if (content === '1') return delivery.acknowledge();
      return content === '3' ? delivery.retry({ delayMs: 120_000 }) : undefined;
    });
    await backend.subscribe(queue, { maxInFlight: 10 }, first.receive);
    await arrived(first.deliveries, 4);
    await vi.waitFor(async () => expect((await backend.describeQueue(queue)).depth).toBe(1), soon);
    await backend.close();

    const next = backendFor();
    await next.rewindQueue(queue, { to: 'earliest' });
    const again = inbox((delivery) => delivery.acknowledge());
    const subscription = await next.subscribe(queue, { maxInFlight: 10 }, again.receive);
    await arrived(again.deliveries, 4);
    await subscription.close();
    expect(again.contents()).toEqual(['0', '1', '2', '3']);
    // The retry of the last one.
    expect((await next.describeQueue(queue)).depth).toBe(1);
  });

  test('is refused while another process has a subscription, which goes on', async () => {
    const [backend, other] = [backendFor(), backendFor()];
    const queue = queueName(backend);
    await backend.declareQueue(queue);
    await backend.publishToQueue(queue, [message('before')]);
    const received = inbox((delivery) => delivery.acknowledge());
    const subscription = await other.subscribe(queue, { maxInFlight: 10 }, received.receive);
    await arrived(received.deliveries, 1);
    await vi.waitFor(async () => expect((await backend.describeQueue(queue)).depth).toBe(0), soon);
    await expect(backend.rewindQueue(queue, { to: 'earliest' })).rejects.toMatchObject({
      code: 'QUEUE_IN_USE',
    });
    await backend.publishToQueue(queue, [message('after')]);
    await arrived(received.deliveries, 2);
    expect(received.contents()).toEqual(['before', 'after']);
    // When nobody is left it is rewound.
    await subscription.close();
    await backend.rewindQueue(queue, { to: 'earliest' });
    expect((await backend.describeQueue(queue)).depth).toBe(2);
  });
});
