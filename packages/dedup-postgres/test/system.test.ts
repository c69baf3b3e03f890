import { type ChildProcess, fork } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { RabbitMqBackend } from '@melange/backend-rabbitmq';
import { QueuePublisher, SerializerRegistry, silentLogger } from '@melange/core';
import { openPostgres } from '@melange/postgres';
import { JsonSerializer } from '@melange/serializer-json';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { PostgresDeduplicationCache } from '../src/index.ts';

const rabbitMqUrl = process.env.RABBITMQ_URL ?? '';
const url = process.env.POSTGRES_URL ?? '';
const program = fileURLToPath(new URL('support/system-worker.ts', import.meta.url));

const workers = 8;
const concurrency = 10;
const messages = 1_500;
const consumers = 2;
const kills = 8;
const leaseMs = 3_000;

describe.skipIf(rabbitMqUrl === '' || url === '')(
  'eight workers over RabbitMQ (skipped without RABBITMQ_URL and POSTGRES_URL)',
  () => {
    test('double no effect in the database, though they are killed at any moment and everything is published twice', {
      timeout: 300_000,
    }, async () => {
      const schema = `test_${randomUUID().replaceAll('-', '')}`;
      const queue = `inbox-${randomUUID()}`;
      const connection = openPostgres({ url, logger: silentLogger });
      const backend = new RabbitMqBackend({ url: rabbitMqUrl, logger: silentLogger });
      const running: ChildProcess[] = [];
      onTestFinished(async () => {
        for (const child of running) child.kill('SIGKILL');
        await backend.deleteQueue(queue);
        await backend.close();
        await connection.execute(`drop schema if exists "${schema}" cascade`, []);
        await connection.close();
      });
      await backend.declareQueue(queue);
      await new PostgresDeduplicationCache({ connection, schema }).health();
      // Nothing in the table itself keeps an effect from being there twice.
      await connection.execute(`create table "${schema}".effects (what text)`, []);
      const effects = async () => {
        const { rows } = await connection.execute(
          `select count(*) as all, count(distinct what) as different from "${schema}".effects`,
          [],
        );
        return { all: Number(rows[0]?.all), different: Number(rows[0]?.different) };
      };
      const parameters = [rabbitMqUrl, url, schema, queue, String(concurrency), String(leaseMs)];
      const start = () => void running.push(fork(program, parameters, { execArgv: ['--import', 'tsx'] }));
      for (let worker = 0; worker < workers; worker += 1) start();
      const serializers = new SerializerRegistry({
        serializers: { json: new JsonSerializer() },
        default: 'json',
      });
      const publisher = new QueuePublisher({ backend, serializers });
      const batch = Array.from({ length: messages }, (_, n) => ({ value: { n }, id: `message-${n}` }));
      await publisher.publishBatch(queue, batch);
      await publisher.publishBatch(queue, batch);
      const patience = { timeout: 200_000, interval: 20 };
      const all = messages * consumers;
      for (let kill = 0; kill < kills; kill += 1) {
        const share = (all * (kill + 0.5)) / (kills + 1);
        await vi.waitFor(async () => expect((await effects()).all).toBeGreaterThan(share), patience);
        const [victim] = running.splice(Math.floor(Math.random() * running.length), 1) as [ChildProcess];
        const exited = once(victim, 'exit');
        victim.kill('SIGKILL');
        await exited;
        start();
      }
      await vi.waitFor(async () => expect((await effects()).different).toBe(all), patience);
      // What waits elsewhere for the lease of a killed worker comes back within it.
      let emptySince = performance.now();
      while (performance.now() - emptySince < leaseMs + 1_000) {
        if ((await backend.describeQueue(queue)).depth !== 0) emptySince = performance.now();
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      const { all: written, different } = await effects();
      console.log(
        `${workers} workers, ${messages} messages published twice, ${consumers} consumers, ${kills} kills: ${different} effects, ${written - different} of them doubled`,
      );
      expect({ written, different }).toEqual({ written: all, different: all });
    });
  },
);
