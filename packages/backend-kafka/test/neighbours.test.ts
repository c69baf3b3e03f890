import { connect } from 'node:net';
import { TcpProxy } from '@melange/conformance';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { produceGate } from './support/produce-gate.ts';
import {
  address,
  backendFor,
  foreignAdmin,
  message,
  noBroker,
  queueName,
  recordingLogger,
  soon,
  url,
} from './support/scene.ts';

async function recordsIn(topic: string): Promise<number> {
  const admin = await foreignAdmin();
  const offsets = await admin.fetchTopicOffsets(topic);
  return offsets.reduce((sum, { high }) => sum + Number(high), 0);
}

const many = (count: number) => Array.from({ length: count }, (_, n) => message(`${n}`, { key: `${n}` }));

describe.skipIf(url === '')(`neighbours of a topic in trouble${url === '' ? ` (${noBroker})` : ''}`, () => {
  test.each(['refuse', 'hold'] as const)(
    'are not delayed, not repeated and not failed by it, whose publishes fail at their deadlines: %s',
    async (mode) => {
      const logger = recordingLogger();
      const gate = await produceGate();
      const { socketFactory } = gate;
      const backend = backendFor({ logger, partitions: 2, socketFactory });
      const [sick, well] = [queueName(backend), queueName(backend)];
      await backend.declareQueue(sick);
      await backend.declareQueue(well);
      gate.set(sick, mode);
      const failing = backend.publishToQueue(sick, many(20), { deadlineMs: 6_000 });
      const failed = failing.catch((error: unknown) => error);
      await vi.waitFor(async () => expect((await backend.health()).status).toBe('degraded'), soon);
      const waits: number[] = [];
      for (let round = 0; round < 40; round += 1) {
        const startedAt = performance.now();
        await backend.publishToQueue(well, many(5));
        waits.push(performance.now() - startedAt);
        if (round === 20) {
          const { status, detail } = await backend.health();
          expect(status).toBe('degraded');
          expect(detail).toContain(`publishing to topic "${sick}"`);
          expect(detail).not.toContain(well);
        }
      }
      expect(Math.max(...waits)).toBeLessThan(2_000);
      expect(gate.requests(sick)).toBeGreaterThan(0);
      expect(await recordsIn(well)).toBe(200);
      expect(await failed).toMatchObject({ code: 'PUBLISH_FAILED', failures: { length: 20 } });
      expect(await recordsIn(sick)).toBe(0);
      expect(logger.lines.filter((line) => line.includes('publishing'))).toEqual([
        `trouble publishing to topic "${sick}"`,
      ]);
    },
  );

  test('and when it confirms again, what waited for it is there once', async () => {
    const logger = recordingLogger();
    const gate = await produceGate();
    const { socketFactory } = gate;
    const backend = backendFor({ logger, partitions: 3, socketFactory });
    const sick = queueName(backend);
    await backend.declareQueue(sick);
    gate.set(sick, 'refuse');
    const publishing = backend.publishToQueue(sick, many(500));
    await vi.waitFor(async () => expect((await backend.health()).status).toBe('degraded'), soon);
    gate.set(sick, 'pass');
    await publishing;
    expect(await recordsIn(sick)).toBe(500);
    expect(await backend.health()).toEqual({ status: 'healthy' });
    expect(logger.lines.at(-1)).toBe(`recovered from trouble publishing to topic "${sick}"`);
  });

  test('an answer that was lost is asked for again: the broker drops what it has already', async () => {
    const [host = '', port] = address.split(':');
    const proxy = await TcpProxy.start({ host, port: Number(port) });
    onTestFinished(() => proxy[Symbol.asyncDispose]());
    const backend = backendFor({
      partitions: 3,
      requestTimeoutMs: 1_500,
      socketFactory: ({ onConnect }) => connect({ ...proxy.address, noDelay: true }, onConnect),
    });
    const queue = queueName(backend);
    await backend.declareQueue(queue);
    await backend.publishToQueue(queue, many(30));
    proxy.stall('to-client');
    const publishing = backend.publishToQueue(queue, many(30));
    await vi.waitFor(async () => expect(await recordsIn(queue)).toBe(60), soon);
    // The answer is gone for good with its connection.
    proxy.cut();
    proxy.resume();
    await publishing;
    expect(await recordsIn(queue)).toBe(60);
  });

  test('a topic that takes less than the brokers refuses as too large, at once and not as an outage', async () => {
    const backend = backendFor({ partitions: 1 });
    const queue = queueName(backend);
    await backend.declareQueue(queue, { topicSettings: { 'max.message.bytes': '2000' } });
    const [small, large] = [message('small'), message('x'.repeat(5_000))];
    await expect(backend.publishToQueue(queue, [small, large, message('small')])).rejects.toMatchObject({
      code: 'PUBLISH_FAILED',
      failures: [{ messageId: large.id, error: { code: 'MESSAGE_TOO_LARGE' } }],
    });
    expect(await recordsIn(queue)).toBe(2);
    expect(await backend.health()).toEqual({ status: 'healthy' });
  });
});
