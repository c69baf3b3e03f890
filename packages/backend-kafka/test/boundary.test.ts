import { silentLogger } from '@melange/core';
import { describe, expect, test } from 'vitest';
import { parseAddress } from '../src/client/address.ts';
import { KafkaBackend } from '../src/index.ts';
import { address, arrived, backendFor, inbox, message, noBroker, queueName, url } from './support/scene.ts';

describe('addresses of brokers', () => {
  test.each([
    ['localhost:9092', 'localhost', 9092],
    ['kafka://localhost:9093', 'localhost', 9093],
    ['kafka://localhost:9093/', 'localhost', 9093],
    ['broker-1.example.com', 'broker-1.example.com', 9092],
    ['127.0.0.1:1', '127.0.0.1', 1],
    ['[::1]:9092', '::1', 9092],
    ['kafka://[fe80::1%eth0]:9094', 'fe80::1%eth0', 9094],
    ['[::1]', '::1', 9092],
  ])('%s', (text, host, port) => expect(parseAddress(text)).toEqual({ host, port }));

  test.each([
    '',
    '::1:9092',
    'localhost:0',
    'localhost:65536',
    'localhost:',
    'http://localhost:9092',
    'a b:1',
    '[::1',
  ])('are not %j', (text) => expect(() => parseAddress(text)).toThrow(/is no address of a broker/));
});

/** Of a broker that is not there: whatever asks it fails otherwise. */
function unreachable(): KafkaBackend {
  return new KafkaBackend({ brokers: ['127.0.0.1:1'], logger: silentLogger, connectTimeoutMs: 100 });
}

const configuration = expect.objectContaining({ code: 'CONFIGURATION' });

describe('what makes no sense is refused before a broker is asked', () => {
  test.each(['', '.', '..', 'a/b', 'ž', 'a b', 'x'.repeat(244)])('the queue %j', async (name) => {
    const backend = unreachable();
    await expect(backend.declareQueue(name)).rejects.toEqual(configuration);
    await expect(backend.declareQueue('queue', { deadLetterQueue: name })).rejects.toEqual(configuration);
    await backend.close();
  });

  test.each(['', '..', 'a/b', 'x'.repeat(250)])('the topic %j', async (name) => {
    const backend = unreachable();
    await expect(backend.declareTopic(name)).rejects.toEqual(configuration);
    await expect(backend.declareQueue('queue', { topics: [name] })).rejects.toEqual(configuration);
    await expect(backend.declareQueue('queue', { removeTopics: [name] })).rejects.toEqual(configuration);
    await backend.close();
  });

  test.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])('maxInFlight %j', async (maxInFlight) => {
    const backend = unreachable();
    await expect(backend.subscribe('queue', { maxInFlight }, () => undefined)).rejects.toEqual(configuration);
    await backend.close();
  });

  test.each([
    { partitions: 1.5 },
    { replicationFactor: 0 },
    { sessionTimeoutMs: Number.NaN },
    { commitIntervalMs: -1 },
    { stalledAfterMs: Number.POSITIVE_INFINITY },
    { brokers: ['http://localhost'] },
  ])('the options %j', (options) => {
    expect(() => new KafkaBackend({ brokers: ['localhost:9092'], ...options })).toThrow(configuration);
  });
});

describe.skipIf(url === '')(`with a broker${url === '' ? ` (${noBroker})` : ''}`, () => {
  test('both forms of its address are understood, and IPv6 addresses reach the socket whole', async () => {
    const asked: string[] = [];
    const { connect } = await import('node:net');
    const [host = '', port] = address.split(':');
    const backend = backendFor({
      brokers: [`[::1]:${port}`, `kafka://[::1]:${port}`],
      socketFactory: (options) => {
        asked.push(options.host);
        return connect({ host, port: Number(port), noDelay: true }, options.onConnect);
      },
    });
    expect(await backend.describeQueue('nowhere')).toMatchObject({ exists: false });
    expect(asked).toContain('::1');
    expect(await backendFor({ brokers: [address] }).describeQueue('nowhere')).toMatchObject({
      exists: false,
    });
  });

  test('the longest names work, and names that Kafka does not take are refused', async () => {
    const backend = backendFor({ partitions: 1 });
    const queue = `${queueName(backend)}-`.padEnd(243, 'x');
    await backend.declareQueue(queue);
    const received = inbox((delivery) =>
      delivery.attempt === 1 ? delivery.retry() : delivery.acknowledge(),
    );
    await backend.subscribe(queue, { maxInFlight: 1 }, received.receive);
    await backend.publishToQueue(queue, [message('one')]);
    await arrived(received.deliveries, 2);
    await backend.deleteQueue(queue);
    await expect(backend.describeQueue('a/b')).rejects.toMatchObject({ code: 'CONFIGURATION' });
    const publishing = backend.publishToQueue('a/b', [message('one')]);
    await expect(publishing).rejects.toMatchObject({ code: 'CONFIGURATION' });
  });

  test('a header that is no text fails its own message, at once; its neighbours arrive', async () => {
    const backend = backendFor({ partitions: 1 });
    const queue = queueName(backend);
    await backend.declareQueue(queue);
    const odd = message('odd', { headers: { total: 1n as unknown as string } });
    await expect(backend.publishToQueue(queue, [message('a'), odd, message('b')])).rejects.toMatchObject({
      code: 'PUBLISH_FAILED',
      failures: [
        { messageId: odd.id, error: { code: 'MESSAGE_INVALID', message: expect.stringContaining('total') } },
      ],
    });
    expect((await backend.describeQueue(queue)).depth).toBe(2);
  });

  test('more partitions or copies than the cluster can have are a mistake, not an outage', async () => {
    const backend = backendFor({ partitions: 1 });
    const queue = queueName(backend);
    await expect(backend.declareQueue(queue, { replicationFactor: 9 })).rejects.toMatchObject({
      code: 'CONFIGURATION',
    });
    const topicSettings = { 'retention.ms': 'for ever' };
    await expect(backend.declareQueue(queue, { topicSettings })).rejects.toMatchObject({
      code: 'CONFIGURATION',
    });
  });
});
