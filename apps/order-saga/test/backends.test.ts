import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { figures, orderSaga } from './support/run.ts';

const runs = [
  {
    on: 'SQS',
    needs: ['SQS_URL'],
    flags: ['--backend', 'sqs', '--orders', '100', '--failure-rate', '0.1'],
    expected: { 'orders placed': 100, completed: 99, 'dead-lettered': 1 },
  },
  {
    on: 'Redis Streams',
    needs: ['REDIS_URL'],
    flags: ['--backend', 'redis-streams', '--orders', '200', '--failure-rate', '0.2'],
    expected: { 'orders placed': 200, completed: 198, 'dead-lettered': 2 },
  },
  {
    on: 'NATS',
    needs: ['NATS_URL'],
    flags: ['--backend', 'nats', '--orders', '200', '--failure-rate', '0.2'],
    expected: { 'orders placed': 200, completed: 198, 'dead-lettered': 2 },
  },
  {
    on: 'Postgres',
    needs: ['POSTGRES_URL'],
    flags: ['--backend', 'postgres', '--orders', '200', '--failure-rate', '0.2'],
    expected: { 'orders placed': 200, completed: 198, 'dead-lettered': 2 },
  },
  {
    on: 'Kafka, RabbitMQ and SQS, one fleet',
    needs: ['KAFKA_URL', 'RABBITMQ_URL', 'SQS_URL'],
    flags: [
      ...['--orders-backend', 'kafka', '--payments-backend', 'rabbitmq', '--saga-backend', 'sqs'],
      ...['--orders', '300', '--failure-rate', '0.2'],
    ],
    expected: { 'orders placed': 300, completed: 297, 'dead-lettered': 3 },
  },
];

for (const { on, needs, flags, expected } of runs) {
  const missing = needs.filter((variable) => process.env[variable] === undefined);
  const reason = missing.length === 0 ? '' : ` (skipped without ${missing.join(', ')})`;
  test.skipIf(missing.length > 0)(
    `orders on ${on}, are all accounted for, and the process ends by itself${reason}`,
    { timeout: 120_000 },
    async () => {
      const folder = await mkdtemp(join(tmpdir(), 'melange-saga-'));
      onTestFinished(() => rm(folder, { recursive: true, force: true }));
      const { status, stdout, stderr } = await orderSaga([...flags, '--folder', folder]);
      expect({ status, stderr }).toMatchObject({ status: 0 });
      expect(figures(stdout)).toMatchObject({ ...expected, lost: 0, 'unaccounted for': 0, 'paid twice': 0 });
    },
  );
}
