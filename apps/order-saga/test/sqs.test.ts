import { expect, test } from 'vitest';
import { figures, orderSaga } from './support/run.ts';

const { KAFKA_URL, RABBITMQ_URL, SQS_URL } = process.env;

test.skipIf(SQS_URL === undefined)(
  '100 orders on SQS are all accounted for, and the process ends by itself (skipped without SQS_URL)',
  { timeout: 120_000 },
  async () => {
    const flags = ['--backend', 'sqs', '--orders', '100', '--failure-rate', '0.1'];
    const { status, stdout, stderr } = await orderSaga(flags);
    expect({ status, stderr }).toMatchObject({ status: 0 });
    expect(figures(stdout)).toMatchObject({
      'orders placed': 100,
      completed: 99,
      'dead-lettered': 1,
      lost: 0,
      'unaccounted for': 0,
      'paid twice': 0,
    });
  },
);

const missing = Object.entries({ KAFKA_URL, RABBITMQ_URL, SQS_URL }).filter(([, url]) => url === undefined);
const reason = missing.length === 0 ? '' : ` (skipped without ${missing.map(([name]) => name).join(', ')})`;

test.skipIf(reason !== '')(
  `one fleet on Kafka, RabbitMQ and SQS loses nothing${reason}`,
  { timeout: 120_000 },
  async () => {
    const backends = ['--orders-backend', 'kafka', '--payments-backend', 'rabbitmq', '--saga-backend', 'sqs'];
    const { status, stdout, stderr } = await orderSaga([
      ...backends,
      '--orders',
      '300',
      '--failure-rate',
      '0.2',
    ]);
    expect({ status, stderr }).toMatchObject({ status: 0 });
    expect(figures(stdout)).toMatchObject({
      'orders placed': 300,
      completed: 297,
      'dead-lettered': 3,
      lost: 0,
      'unaccounted for': 0,
      'paid twice': 0,
    });
  },
);
