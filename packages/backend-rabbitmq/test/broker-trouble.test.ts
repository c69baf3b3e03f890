import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { canStartHere, type PrivateRabbitMq, startRabbitMq } from '../../../apps/brokers/src/index.ts';
import type { RabbitMqBackend } from '../src/index.ts';
import { backendFor, inbox, message, queueName } from './support/scene.ts';

/** Erlang: the queue writes nothing for so many ms. */
function pauseOf(queue: string, milliseconds: number): string {
  return `{ok, Queue} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<"${queue}">>)),
    Leader = amqqueue:get_pid(Queue),
    sys:suspend(Leader),
    spawn(fun() -> timer:sleep(${milliseconds}), sys:resume(Leader) end).`;
}

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

    test('whose queue is slow to write: a subscription that closes gives nothing back that it finished', async () => {
      const { backend, queue } = await declared();
      const sent = Array.from({ length: 300 }, (_, n) => message(`${n}`));
      await backend.publishToQueue(queue, sent);
      const received = inbox();
      const subscription = await backend.subscribe(queue, { maxInFlight: 300 }, received.receive);
      await vi.waitFor(() => expect(received.deliveries).toHaveLength(300), soon);
      await broker.control('eval', pauseOf(queue, 1_500));
      const closing = subscription.close();
      // One after the other: each is an acknowledgement of its own.
      for (const delivery of received.deliveries) await delivery.acknowledge();
      await closing;
      const again = inbox((delivery) => delivery.acknowledge());
      await (await backend.subscribe(queue, { maxInFlight: 1, untilEmpty: true }, again.receive)).ended;
      expect(again.deliveries.map((one) => one.message.content)).toEqual([]);
    });

    test('that is down when retries fall due: all come afterwards, as a further attempt', {
      timeout: 60_000,
    }, async () => {
      const { backend, queue } = await declared();
      const retries: Promise<void>[] = [];
      const again = inbox((delivery) => delivery.acknowledge());
      await backend.subscribe(queue, { maxInFlight: 50 }, (delivery) => {
        if (delivery.attempt === 1) retries.push(delivery.retry({ delayMs: 2_000 }));
        else again.receive(delivery);
      });
      await backend.publishToQueue(
        queue,
        Array.from({ length: 50 }, (_, n) => message(`${n}`)),
      );
      await vi.waitFor(() => expect(retries).toHaveLength(50), soon);
      await Promise.all(retries);
      await broker.control('stop_app');
      await new Promise((resolve) => setTimeout(resolve, 2_500));
      await broker.control('start_app');
      const seconds = () => again.deliveries.filter(({ attempt }) => attempt === 2);
      await vi.waitFor(() => expect(new Set(seconds().map(({ message: { id } }) => id)).size).toBe(50), soon);
      expect(retries).toHaveLength(50);
    });
  },
);
