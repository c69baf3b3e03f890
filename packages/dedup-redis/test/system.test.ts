import { type ChildProcess, fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { RabbitMqBackend } from '@melange/backend-rabbitmq';
import { QueuePublisher, SerializerRegistry, silentLogger } from '@melange/core';
import { JsonSerializer } from '@melange/serializer-json';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { isRedisHere, privateRedis } from './support/servers.ts';

const rabbitMqUrl = process.env.RABBITMQ_URL ?? '';
const program = fileURLToPath(new URL('support/system-worker.ts', import.meta.url));
const serializers = new SerializerRegistry({ serializers: { json: new JsonSerializer() }, default: 'json' });

const workers = 8;
const concurrency = 10;
const messages = 5_000;
const consumers = ['billing', 'shipping'];
const kills = 10;
/**
 * Short, so that the messages of a killed worker need not wait for long; long enough that no claim ends, and no confirm is
 * given up, while a busy machine restarts Redis: both repeat an effect, as a crash does.
 */
const leaseMs = 5_000;

interface Effect {
  readonly what: string;
  readonly worker: number;
}

/** Eight workers over RabbitMQ with one Redis, and what they did. */
async function system() {
  const redis = await privateRedis({ settings: { appendonly: 'yes', appendfsync: 'always' } });
  const backend = new RabbitMqBackend({ url: rabbitMqUrl, logger: silentLogger });
  const queue = `deduplicated-${randomUUID()}`;
  const directory = await mkdtemp(join(tmpdir(), 'melange-system-'));
  const file = join(directory, 'effects');
  const running: ChildProcess[] = [];
  await writeFile(file, '');
  await backend.declareQueue(queue);
  onTestFinished(async () => {
    for (const child of running) child.kill('SIGKILL');
    await backend.deleteQueue(queue);
    await backend.close();
    await rm(directory, { recursive: true });
  });
  const parameters = [rabbitMqUrl, redis.url, queue, 'system', file, String(concurrency), String(leaseMs)];
  return {
    redis,
    running,
    start: () => void running.push(fork(program, parameters, { execArgv: ['--import', 'tsx'] })),
    async end(child: ChildProcess, signal: NodeJS.Signals) {
      running.splice(running.indexOf(child), 1);
      const exited = once(child, 'exit');
      child.kill(signal);
      await exited;
    },
    async publish() {
      const publisher = new QueuePublisher({ backend, serializers });
      const batch = Array.from({ length: messages }, (_, n) => ({ value: { n }, id: `message-${n}` }));
      await publisher.publishBatch(queue, batch);
    },
    async effects(): Promise<Effect[]> {
      const lines = (await readFile(file, 'utf8')).split('\n').filter((line) => line !== '');
      return lines.map((line) => {
        const [consumer, message, worker] = line.split(' ');
        return { what: `${consumer} ${message}`, worker: Number(worker) };
      });
    },
    /** What waits elsewhere, for the lease of a killed worker to end, is back in the queue by then. */
    async untilQuiet() {
      let emptySince = performance.now();
      while (performance.now() - emptySince < leaseMs + 1_000) {
        if ((await backend.describeQueue(queue)).depth !== 0) emptySince = performance.now();
        await delay(20);
      }
    },
    isEmpty: async () => (await backend.describeQueue(queue)).depth === 0,
  };
}

describe.skipIf(rabbitMqUrl === '' || !isRedisHere)(
  'eight workers over RabbitMQ (skipped without RABBITMQ_URL or redis-server)',
  () => {
    test('repeat a side effect only where one was killed between the effect and its confirm', {
      timeout: 240_000,
    }, async () => {
      const { redis, running, start, end, publish, effects, untilQuiet, isEmpty } = await system();
      for (let worker = 0; worker < workers; worker += 1) start();
      await publish();
      await publish();
      const killed = new Set<number>();
      const patience = { timeout: 120_000, interval: 20 };
      for (let kill = 0; kill < kills; kill += 1) {
        // Spread over the work, at no particular moment of it.
        const share = (messages * consumers.length * (kill + 0.5)) / (kills + 1);
        await vi.waitFor(async () => expect((await effects()).length).toBeGreaterThan(share), patience);
        await delay(Math.random() * 50);
        const victim = running[Math.floor(Math.random() * running.length)] as ChildProcess;
        killed.add(victim.pid as number);
        await end(victim, 'SIGKILL');
        start();
        if (kill === kills / 2) {
          await redis.end('SIGKILL');
          await redis.start();
        }
      }
      const all = messages * consumers.length;
      await vi.waitFor(
        async () => expect(new Set((await effects()).map(({ what }) => what)).size).toBe(all),
        patience,
      );
      await untilQuiet();
      for (const child of [...running]) await end(child, 'SIGTERM');

      const last = new Map<string, number>();
      const repeated: number[] = [];
      for (const { what, worker } of await effects()) {
        const before = last.get(what);
        if (before !== undefined) repeated.push(before);
        last.set(what, worker);
      }
      console.log(
        `${workers} workers, ${messages} messages published twice, ${consumers.length} consumers, ${kills} kills, ` +
          `1 restart of Redis: ${all} side effects, ${repeated.length} of them repeated`,
      );
      expect(last.size).toBe(all);
      expect(repeated.filter((worker) => !killed.has(worker))).toEqual([]);
      expect(repeated.length).toBeLessThanOrEqual(kills * concurrency);
      expect(await isEmpty()).toBe(true);
    });
  },
);
