import { connect } from 'node:net';
import { TcpProxy } from '@melange/conformance';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { partitionOfKey } from '../src/wire/partition.ts';
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
          expect(detail).toContain(`publishing to queue "${sick}"`);
          expect(detail).not.toContain(well);
        }
      }
      expect(Math.max(...waits)).toBeLessThan(2_000);
      expect(gate.requests(sick)).toBeGreaterThan(0);
      expect(await recordsIn(well)).toBe(200);
      expect(await failed).toMatchObject({ code: 'PUBLISH_FAILED', failures: { length: 20 } });
      expect(await recordsIn(sick)).toBe(0);
      expect(logger.lines.filter((line) => line.includes('publishing'))).toEqual([
        `trouble publishing to queue "${sick}"`,
      ]);
    },
  );

  test('are the partitions of its own topic, too', async () => {
    const gate = await produceGate();
    const backend = backendFor({ partitions: 4, socketFactory: gate.socketFactory });
    const queue = queueName(backend);
    await backend.declareQueue(queue);
    gate.set(`${queue}/${partitionOfKey(Buffer.from('sick'), 4)}`, 'refuse');
    const sick = backend.publishToQueue(queue, [message('first', { key: 'sick' })], { deadlineMs: 6_000 });
    const failed = sick.catch((error: unknown) => error);
    await vi.waitFor(async () => expect((await backend.health()).status).toBe('degraded'), soon);
    // Those of the sick partition wait, and fail by their deadline; all others are there.
    const all = many(200);
    const isSick = ({ key = '' }: { readonly key: string | undefined }) =>
      partitionOfKey(Buffer.from(key), 4) === partitionOfKey(Buffer.from('sick'), 4);
    const sickOnes = all.filter(isSick);
    const startedAt = performance.now();
    await backend.publishToQueue(
      queue,
      all.filter((one) => !isSick(one)),
    );
    expect(performance.now() - startedAt).toBeLessThan(2_000);
    expect(await recordsIn(queue)).toBe(all.length - sickOnes.length);
    await expect(backend.publishToQueue(queue, all, { deadlineMs: 2_000 })).rejects.toMatchObject({
      failures: { length: sickOnes.length },
    });
    expect(await recordsIn(queue)).toBe(2 * (all.length - sickOnes.length));
    expect(await failed).toMatchObject({ failures: [{ error: { code: 'PUBLISH_TIMEOUT' } }] });
  });

  test('share one request with it while all is well', async () => {
    const gate = await produceGate();
    const backend = backendFor({ partitions: 6, socketFactory: gate.socketFactory });
    const queue = queueName(backend);
    await backend.declareQueue(queue);
    await backend.publishToQueue(queue, many(1));
    const before = gate.requests(queue);
    await backend.publishToQueue(queue, many(100));
    expect(gate.requests(queue) - before).toBe(1);
  });

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
    expect(logger.lines.at(-1)).toBe(`recovered from trouble publishing to queue "${sick}"`);
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

  test('what is published after a message whose answer was lost is not taken for its repetition', async () => {
    const [host = '', port] = address.split(':');
    const proxy = await TcpProxy.start({ host, port: Number(port) });
    onTestFinished(() => proxy[Symbol.asyncDispose]());
    const backend = backendFor({
      partitions: 1,
      requestTimeoutMs: 1_500,
      socketFactory: ({ onConnect }) => connect({ ...proxy.address, noDelay: true }, onConnect),
    });
    const queue = queueName(backend);
    await backend.declareQueue(queue);
    await backend.publishToQueue(queue, many(1));
    proxy.stall('to-client');
    const lost = backend.publishToQueue(queue, many(3), { deadlineMs: 500 });
    await expect(lost).rejects.toMatchObject({ code: 'PUBLISH_FAILED' });
    await vi.waitFor(async () => expect(await recordsIn(queue)).toBe(4), soon);
    proxy.cut();
    proxy.resume();
    await backend.publishToQueue(queue, many(2));
    expect(await recordsIn(queue)).toBe(6);
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
