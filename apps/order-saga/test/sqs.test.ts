import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const { KAFKA_URL, RABBITMQ_URL, SQS_URL } = process.env;

test.skipIf(SQS_URL === undefined)(
  '100 orders on SQS are all accounted for, and the process ends by itself (skipped without SQS_URL)',
  { timeout: 60_000 },
  async () => {
    expect(await rowsOf('--backend', 'sqs', '--orders', '100', '--failure-rate', '0.1')).toMatchObject({
      'orders placed': '100',
      completed: '99',
      'dead-lettered': '1',
      lost: '0',
      'unaccounted for': '0',
      'paid twice': '0',
    });
  },
);

const missing = Object.entries({ KAFKA_URL, RABBITMQ_URL, SQS_URL }).filter(([, url]) => url === undefined);
const reason = missing.length === 0 ? '' : ` (skipped without ${missing.map(([name]) => name).join(', ')})`;

test.skipIf(reason !== '')(
  `one fleet on Kafka, RabbitMQ and SQS loses nothing${reason}`,
  { timeout: 60_000 },
  async () => {
    const backends = ['--orders-backend', 'kafka', '--payments-backend', 'rabbitmq', '--saga-backend', 'sqs'];
    expect(await rowsOf(...backends, '--orders', '300', '--failure-rate', '0.2')).toMatchObject({
      'orders placed': '300',
      completed: '297',
      'dead-lettered': '3',
      lost: '0',
      'unaccounted for': '0',
      'paid twice': '0',
    });
  },
);

/** The table that a run prints, by its names. */
async function rowsOf(...parameters: readonly string[]): Promise<Record<string, string>> {
  const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', main, ...parameters]);
  const rows = stdout.matchAll(/│ ([a-z- ]+?) +│ (\d+)/g);
  return Object.fromEntries([...rows].map(([, name, value]) => [name as string, value as string]));
}
