import { execFile } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  canRun,
  documentedExample,
  toolTimeoutMs,
} from '../../conformance/test/support/documented-example.ts';
import { arrived, backendFor, inbox, noBroker, queueName, unique, url } from './support/scene.ts';

const hasPika = await canRun('python3', '-c', 'import pika');
const noPika = hasPika ? '' : ' (skipped: python3 has no pika)';

describe.skipIf(url === '')(`docs/wire-format.md${url === '' ? ` (${noBroker})` : ''}`, () => {
  test('the example of amqplib publishes what is read', async () => {
    const backend = backendFor();
    const topic = unique();
    const queue = queueName(backend);
    onTestFinished(() => backend.deleteTopic(topic));
    await backend.declareQueue(queue, { topics: [topic], filter: ['shop.v1.OrderPlaced'] });
    // Beside this file, where amqplib is found.
    const script = fileURLToPath(new URL(`${unique()}.mjs`, import.meta.url));
    onTestFinished(() => rm(script, { force: true }));
    const names = { 'amqp://localhost:5672': url, 'order-events': topic };
    await writeFile(script, await documentedExample('RabbitMQ', 'js', names));
    await promisify(execFile)(process.execPath, [script]);
    const received = inbox((delivery) => delivery.acknowledge());
    await backend.subscribe(queue, { maxInFlight: 1 }, received.receive);
    await arrived(received.deliveries, 1);
    expect(received.deliveries[0]?.message).toEqual({
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      content: Uint8Array.from(Buffer.from('0a036f2d31', 'hex')),
      manifest: 'shop.v1.OrderPlaced',
      serializerId: 3,
      key: undefined,
      headers: {},
      publishedAt: undefined,
    });
  });

  test.skipIf(!hasPika)(
    `the example of Python's pika publishes what is read${noPika}`,
    { timeout: toolTimeoutMs },
    async () => {
      const backend = backendFor();
      const queue = queueName(backend);
      await backend.declareQueue(queue);
      const names = { 'amqp://guest:guest@localhost:5672/%2f': url, '"orders"': JSON.stringify(queue) };
      await promisify(execFile)('python3', ['-c', await documentedExample('RabbitMQ', 'python', names)]);
      const received = inbox((delivery) => delivery.acknowledge());
      await backend.subscribe(queue, { maxInFlight: 1 }, received.receive);
      await arrived(received.deliveries, 1);
      expect(received.deliveries[0]?.message).toEqual({
        id: expect.stringMatching(/^[0-9a-f-]{36}$/),
        content: '{"orderId": "o-1"}',
        manifest: 'OrderPlaced',
        serializerId: 1,
        key: undefined,
        headers: {},
        publishedAt: undefined,
      });
    },
  );
});
