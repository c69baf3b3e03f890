import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { canStartHere, type PrivateRabbitMq, startRabbitMq } from '../../../apps/brokers/src/index.ts';
import type { RabbitMqBackend } from '../src/index.ts';
import { backendFor, inbox, message, queueName } from './support/scene.ts';

const soon = { timeout: 20_000, interval: 20 };
const canStart = canStartHere('rabbitmq');

describe.skipIf(!canStart)(
  `a broker in trouble${canStart ? '' : ' (no RabbitMQ of our own can be started here)'}`,
  () => {
    let broker: PrivateRabbitMq;
    beforeAll(async () => {
      broker = await startRabbitMq();
    }, 120_000);
    afterAll(() => broker?.stop());

    async function declared(): Promise<{ backend: RabbitMqBackend; queue: string }> {
      const backend = backendFor({ url: broker.url });
      const queue = queueName(backend);
      await backend.declareQueue(queue);
      return { backend, queue };
    }

    test('that blocks publishers holds them back, says so in health, and takes all when it can', async () => {
      const { backend, queue } = await declared();
      await backend.publishToQueue(queue, [message('connects')]);
      onTestFinished(() => broker.control('set_vm_memory_high_watermark', '0.4'));
      await broker.control('set_vm_memory_high_watermark', '0.000001');
      const held = backend.publishToQueue(queue, [message('1'), message('2')], { deadlineMs: 60_000 });
      await vi.waitFor(
        async () =>
          expect(await backend.health()).toMatchObject({
            status: 'degraded',
            detail: expect.stringContaining('blocks'),
          }),
        soon,
      );
      const late = message('too late');
      await expect(backend.publishToQueue(queue, [late], { deadlineMs: 200 })).rejects.toMatchObject({
        code: 'PUBLISH_FAILED',
        message: expect.stringContaining('blocks'),
      });
      await broker.control('set_vm_memory_high_watermark', '0.4');
      await held;
      expect(await backend.health()).toEqual({ status: 'healthy' });
    });

    test('that closes connections: they are made again, publishes and deliveries go on', async () => {
      const { backend, queue } = await declared();
      const received = inbox((delivery) => delivery.acknowledge());
      await backend.subscribe(queue, { maxInFlight: 10 }, received.receive);
      const sent = Array.from({ length: 200 }, (_, n) => message(`${n}`));
      const publishing = sent.map((one) => backend.publishToQueue(queue, [one]));
      await broker.control('close_all_connections', 'test');
      await Promise.all([...publishing, ...sent.map((one) => backend.publishToQueue(queue, [one]))]);
      const ids = (): Set<string> => new Set(received.deliveries.map((one) => one.message.id));
      await vi.waitFor(() => expect(ids().size).toBe(200), soon);
    });

    test('that is down when retries fall due: all come afterwards', { timeout: 60_000 }, async () => {
      const { backend, queue } = await declared();
      const sent = Array.from({ length: 50 }, (_, n) => message(`${n}`));
      await backend.publishToQueue(queue, sent, { delayMs: 2_000 });
      await broker.control('stop_app');
      await new Promise((resolve) => setTimeout(resolve, 2_500));
      await broker.control('start_app');
      const received = inbox((delivery) => delivery.acknowledge());
      await vi.waitFor(() => backend.subscribe(queue, { maxInFlight: 10 }, received.receive), soon);
      await vi.waitFor(
        () => expect(new Set(received.deliveries.map((one) => one.message.id)).size).toBe(50),
        soon,
      );
    });
  },
);
