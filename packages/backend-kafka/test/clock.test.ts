import { describe, expect, test, vi } from 'vitest';
import { produceGate } from './support/produce-gate.ts';
import {
  arrived,
  backendFor,
  foreignAdmin,
  inbox,
  message,
  noBroker,
  queueName,
  soon,
  url,
} from './support/scene.ts';

const hourMs = 3_600_000;

/** As when somebody sets the time of the machine. */
function step(byMs: number): void {
  const now = Date.now.bind(Date);
  vi.spyOn(Date, 'now').mockImplementation(() => now() + byMs);
}

describe.skipIf(url === '')(`time${url === '' ? ` (${noBroker})` : ''}`, () => {
  test.each([hourMs, -hourMs])(
    'that is set by %i ms fails no publish, aborts no delivery and repeats none',
    { timeout: 60_000 },
    async (byMs) => {
      const gate = await produceGate();
      const backend = backendFor({ partitions: 1, socketFactory: gate.socketFactory });
      const queue = queueName(backend);
      await backend.declareQueue(queue);
      const received = inbox();
      await backend.subscribe(queue, { maxInFlight: 10 }, received.receive);
      await backend.publishToQueue(queue, [message('before')]);
      await arrived(received.deliveries, 1);
      gate.set(queue, 'refuse');
      const publishing = backend.publishToQueue(queue, [message('across')], { deadlineMs: 50_000 });
      await vi.waitFor(() => expect(gate.requests(queue)).toBeGreaterThan(1), soon);
      step(byMs);
      try {
        gate.set(queue, 'pass');
        await publishing;
        await arrived(received.deliveries, 2);
        // Longer than a session of the group, which wants to hear of this process.
        const startedAt = performance.now();
        await vi.waitFor(() => expect(performance.now() - startedAt).toBeGreaterThan(8_000), {
          timeout: 20_000,
        });
        await backend.publishToQueue(queue, [message('after')]);
        await arrived(received.deliveries, 3);
        expect(received.contents()).toEqual(['before', 'across', 'after']);
        expect(received.deliveries.map(({ signal }) => signal.aborted)).toEqual([false, false, false]);
        expect(await backend.health()).toEqual({ status: 'healthy' });
        for (const delivery of received.deliveries) await delivery.acknowledge();
        await vi.waitFor(async () => expect((await backend.describeQueue(queue)).depth).toBe(0), soon);
      } finally {
        vi.restoreAllMocks();
      }
    },
  );

  test('of retries is that of the wall: a due time is read by other processes too', async () => {
    const backend = backendFor({ partitions: 1 });
    const queue = queueName(backend);
    await backend.declareQueue(queue);
    const received = inbox((delivery) =>
      delivery.attempt === 1 ? delivery.retry({ delayMs: hourMs }) : delivery.acknowledge(),
    );
    const subscription = await backend.subscribe(queue, { maxInFlight: 10 }, received.receive);
    await backend.publishToQueue(queue, [message('later')]);
    await arrived(received.deliveries, 1);
    await vi.waitFor(async () => expect((await backend.describeQueue(queue)).depth).toBe(1), soon);
    await subscription.close();
    step(hourMs);
    try {
      await backend.subscribe(queue, { maxInFlight: 10 }, received.receive);
      await arrived(received.deliveries, 2);
      expect(received.deliveries[1]?.attempt).toBe(2);
    } finally {
      vi.restoreAllMocks();
    }
  });

  test('is short until partitions that others add are published to', async () => {
    const backend = backendFor({ metadataMaxAgeMs: 500 });
    const queue = queueName(backend);
    await backend.declareQueue(queue, { partitions: 1 });
    await backend.publishToQueue(queue, [message('before')]);
    const admin = await foreignAdmin();
    await admin.createPartitions({ topicPartitions: [{ topic: queue, count: 4 }] });
    await vi.waitFor(async () => {
      await backend.publishToQueue(queue, [message('after')]);
      const offsets = await admin.fetchTopicOffsets(queue);
      expect(offsets.filter(({ high }) => Number(high) > 0)).toHaveLength(4);
    }, soon);
  });

  test('without an answer makes a publisher degraded at once, and unhealthy after 30 s', async () => {
    const gate = await produceGate();
    const backend = backendFor({ partitions: 1, socketFactory: gate.socketFactory });
    const queue = queueName(backend);
    await backend.declareQueue(queue);
    gate.set(queue, 'refuse');
    const publishing = backend.publishToQueue(queue, [message('1')], { deadlineMs: 100_000 });
    await vi.waitFor(async () => expect((await backend.health()).status).toBe('degraded'), soon);
    const now = performance.now.bind(performance);
    vi.spyOn(performance, 'now').mockImplementation(() => now() + 29_000);
    expect((await backend.health()).status).toBe('degraded');
    vi.spyOn(performance, 'now').mockImplementation(() => now() + 46_000);
    expect(await backend.health()).toMatchObject({
      status: 'unhealthy',
      detail: expect.stringContaining(`publishing to queue "${queue}"`),
    });
    vi.restoreAllMocks();
    gate.set(queue, 'pass');
    await publishing;
    expect(await backend.health()).toEqual({ status: 'healthy' });
  });
});
