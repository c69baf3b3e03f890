import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import {
  canRun,
  documentedExample,
  toolTimeoutMs,
} from '../../conformance/test/support/documented-example.ts';
import { address, arrived, backendFor, inbox, noBroker, queueName, url } from './support/scene.ts';

const hasKcat = await canRun('kcat', '-V');
const hasKafkaPython = await canRun('python3', '-c', 'import kafka');
const noKcat = hasKcat ? '' : ' (skipped: kcat is not installed)';
const noKafkaPython = hasKafkaPython ? '' : ' (skipped: python3 has no kafka-python)';

describe.skipIf(url === '')(`docs/wire-format.md${url === '' ? ` (${noBroker})` : ''}`, () => {
  test.skipIf(!hasKcat)(`the example of kcat publishes what is read${noKcat}`, async () => {
    const backend = backendFor();
    const queue = queueName(backend);
    await backend.declareQueue(queue);
    const names = { 'localhost:9092': address, '-t orders': `-t ${queue}` };
    await promisify(execFile)('bash', ['-ec', await documentedExample('Kafka', 'sh', names)]);
    const received = inbox((delivery) => delivery.acknowledge());
    await backend.subscribe(queue, { maxInFlight: 1 }, received.receive);
    await arrived(received.deliveries, 1);
    expect(received.deliveries[0]?.message).toEqual({
      id: '8f0d6a52-5d5e-4c41-9d4c-2f2a3a4e9b11',
      content: '{"orderId":"o-1"}',
      manifest: 'OrderPlaced',
      serializerId: 1,
      key: 'customer-1',
      headers: {},
      publishedAt: undefined,
    });
  });

  test.skipIf(!hasKafkaPython)(
    `that of kafka-python, protobuf, too${noKafkaPython}`,
    { timeout: toolTimeoutMs },
    async () => {
      const backend = backendFor();
      const queue = queueName(backend);
      await backend.declareQueue(queue);
      const names = { 'localhost:9092': address, '"orders"': JSON.stringify(queue) };
      await promisify(execFile)('python3', ['-c', await documentedExample('Kafka', 'python', names)]);
      const received = inbox((delivery) => delivery.acknowledge());
      await backend.subscribe(queue, { maxInFlight: 1 }, received.receive);
      await arrived(received.deliveries, 1);
      expect(received.deliveries[0]?.message).toEqual({
        id: expect.stringMatching(/^[0-9a-f-]{36}$/),
        content: Uint8Array.from(Buffer.from('0a036f2d31', 'hex')),
        manifest: 'shop.v1.OrderPlaced',
        serializerId: 3,
        key: 'customer-1',
        headers: {},
        publishedAt: undefined,
      });
    },
  );
});
