import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import {
  DeadLetterHeader,
  type Delivery,
  QueuePublisher,
  SerializerRegistry,
  SimpleMessageDispatcher,
  silentLogger,
} from '@melange/core';
import { JsonSerializer } from '@melange/serializer-json';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { RabbitMqBackend, type RabbitMqQueueType } from '../src/index.ts';

const url = process.env.RABBITMQ_URL ?? '';
const worker = fileURLToPath(new URL('support/worker.ts', import.meta.url));
const serializers = new SerializerRegistry({ serializers: { json: new JsonSerializer() }, default: 'json' });

interface Scene {
  readonly backend: RabbitMqBackend;
  readonly queue: string;
  readonly dead: string;
  start(...parameters: string[]): ChildProcess;
  /** What the workers have processed, repetitions included. */
  processed(): Promise<number[]>;
  publish(messages: number): Promise<void>;
  isEmpty(): Promise<boolean>;
}

async function scene(type: RabbitMqQueueType = 'quorum'): Promise<Scene> {
  const backend = new RabbitMqBackend({ url, logger: silentLogger });
  const queue = `crashes-${randomUUID()}`;
  const dead = `${queue}-dead`;
  const directory = await mkdtemp(join(tmpdir(), 'melange-crashes-'));
  const file = join(directory, 'processed');
  const workers: ChildProcess[] = [];
  await writeFile(file, '');
  await backend.declareQueue(queue, { type, deadLetterQueue: dead });
  onTestFinished(async () => {
    for (const child of workers) child.kill('SIGKILL');
    await backend.deleteQueue(queue);
    await backend.deleteQueue(dead);
    await backend.close();
    await rm(directory, { recursive: true });
  });
  return {
    backend,
    queue,
    dead,
    start(...parameters) {
      const child = spawn(process.execPath, ['--import', 'tsx', worker, url, queue, file, ...parameters], {
        stdio: 'inherit',
      });
      workers.push(child);
      return child;
    },
    processed: async () => (await readFile(file, 'utf8')).split('\n').filter(Boolean).map(Number),
    async publish(messages) {
      const publisher = new QueuePublisher({ backend, serializers });
      const batch = Array.from({ length: messages }, (_, n) => ({ value: { n } }));
      await publisher.publishBatch(queue, batch);
    },
    isEmpty: async () => (await backend.describeQueue(queue)).depth === 0,
  };
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  const exited = once(child, 'exit');
  child.kill(signal);
  const [status] = (await exited) as [number | null];
  return status;
}

const patience = { timeout: 60_000, interval: 20 };

describe.skipIf(url === '')('workers over RabbitMQ (skipped without RABBITMQ_URL)', () => {
  test('SIGKILL, twenty times while 20,000 messages pass, loses none', { timeout: 240_000 }, async () => {
    const { start, processed, publish } = await scene();
    const messages = 20_000;
    await publish(messages);
    for (let kill = 0; kill < 20; kill += 1) {
      const before = (await processed()).length;
      const child = start();
      await vi.waitFor(
        async () => expect((await processed()).length).toBeGreaterThan(before + 100),
        patience,
      );
      await end(child, 'SIGKILL');
    }
    const last = start();
    await vi.waitFor(async () => expect(new Set(await processed()).size).toBe(messages), patience);
    expect(await end(last, 'SIGTERM')).toBe(0);
    const repeated = (await processed()).length - messages;
    // At most what was in flight at a kill is processed again.
    expect(repeated).toBeLessThanOrEqual(20 * 50);
  });

  test('SIGTERM loses none, and gives nothing back that was finished', { timeout: 120_000 }, async () => {
    const { start, processed, publish, isEmpty } = await scene();
    const messages = 10_000;
    await publish(messages);
    for (let stop = 0; stop < 3; stop += 1) {
      const before = (await processed()).length;
      const child = start();
      await vi.waitFor(
        async () => expect((await processed()).length).toBeGreaterThan(before + 100),
        patience,
      );
      expect(await end(child, 'SIGTERM')).toBe(0);
    }
    const last = start();
    await vi.waitFor(async () => expect(new Set(await processed()).size).toBe(messages), patience);
    expect(await end(last, 'SIGTERM')).toBe(0);
    expect((await processed()).length).toBe(messages);
    expect(await isEmpty()).toBe(true);
  });

  test.each(['quorum', 'classic'] as const)(
    'a message that ends its process is dead-lettered from its %s queue; all others are processed',
    { timeout: 240_000 },
    async (type) => {
      const { backend, dead, start, processed, publish, isEmpty } = await scene(type);
      const messages = 1_000;
      await publish(messages);
      const letters = new Map<number, Delivery>();
      await backend.subscribe(dead, { maxInFlight: messages }, (delivery) => {
        letters.set((JSON.parse(String(delivery.message.content)) as { n: number }).n, delivery);
      });
      let stop = (): void => undefined;
      const supervisor = async (): Promise<void> => {
        for (let isStopped = false; !isStopped; ) {
          const child = start('500');
          const exited = once(child, 'exit');
          stop = () => {
            isStopped = true;
            child.kill('SIGTERM');
          };
          await exited;
        }
      };
      onTestFinished(() => stop());
      const supervising = supervisor();
      await vi.waitFor(
        async () => {
          expect(letters.size).toBeGreaterThan(0);
          expect(new Set(await processed()).size).toBe(messages - 1);
          expect(await isEmpty()).toBe(true);
        },
        { timeout: 200_000, interval: 200 },
      );
      stop();
      await supervising;
      expect(await processed()).not.toContain(500);
      const reasons = [...letters].map(([n, { message }]) => [n, message.headers[DeadLetterHeader.reason]]);
      expect(reasons).toEqual([[500, 'crashed']]);
    },
  );

  test('stopping in full flight, again and again, gives nothing back that was finished', {
    timeout: 120_000,
  }, async () => {
    const { backend, queue, publish } = await scene();
    const messages = 20_000;
    await publish(messages);
    const processed: number[] = [];
    while (new Set(processed).size < messages) {
      const stop = new AbortController();
      const stopsAt = processed.length + 100 + Math.random() * 500;
      const recorder = {
        name: 'recorder',
        accepts: () => true,
        process: async (message: unknown) => {
          // Out of order, so that the acknowledgements cannot all be put into one.
          for (let turns = Math.random() * 8; turns >= 0; turns -= 1) await nextTurn();
          processed.push((message as { n: number }).n);
          if (processed.length >= stopsAt || processed.length >= messages) stop.abort();
        },
      };
      const dispatcher = new SimpleMessageDispatcher(recorder, { backend, serializers, concurrency: 50 });
      await dispatcher.consumeLoop(queue, { signal: stop.signal });
    }
    expect(processed.length).toBe(messages);
  });
});
