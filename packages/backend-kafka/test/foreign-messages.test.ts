import { QueuePublisher, SerializerRegistry } from '@melange/core';
import { JsonSerializer } from '@melange/serializer-json';
import { describe, expect, test, vi } from 'vitest';
import { isInstalled } from '../../../apps/brokers/src/processes.ts';
import {
  arrived,
  backendFor,
  foreignAdmin,
  inbox,
  kcat,
  message,
  noBroker,
  queueName,
  soon,
  url,
} from './support/scene.ts';

const hasKcat = await isInstalled('kcat');
const reason = url === '' ? ` (${noBroker})` : hasKcat ? '' : ' (skipped: kcat is not installed)';

describe.skipIf(reason !== '')(`Kafka and clients that are not ours${reason}`, () => {
  test('a foreign message keeps its key and headers, and gets its place as its id', async () => {
    const backend = backendFor();
    const queue = queueName(backend);
    await backend.declareQueue(queue, { partitions: 1 });
    const headers = ['-H', 'a=1', '-H', 'a=2', '-H', 'empty=', '-H', 'constructor=x', '-H', 'ž=ů'];
    await kcat(['-P', '-t', queue, '-k', 'customer-7', ...headers], '{"total":1}');
    const received = inbox();
    await backend.subscribe(queue, { maxInFlight: 5 }, received.receive);
    await arrived(received.deliveries, 1);
    const [delivery] = received.deliveries;
    expect({ ...delivery?.message, headers: { ...delivery?.message.headers } }).toEqual({
      id: `${queue}-0-0`,
      content: '{"total":1}',
      manifest: undefined,
      serializerId: undefined,
      key: 'customer-7',
      headers: { a: '2', empty: '', constructor: 'x', ž: 'ů' },
      publishedAt: undefined,
    });
    // The id stays through a retry, which is another record at another place.
    await delivery?.retry();
    await arrived(received.deliveries, 2);
    expect(received.deliveries[1]?.message.id).toBe(`${queue}-0-0`);
    expect(received.deliveries[1]?.message.content).toBe('{"total":1}');
    expect(received.deliveries[1]?.attempt).toBe(2);
  });

  test('a null value is a tombstone, an empty one is empty text, and a value that is no text is bytes', async () => {
    const backend = backendFor();
    const queue = queueName(backend);
    await backend.declareQueue(queue, { partitions: 1 });
    await kcat(['-P', '-t', queue, '-K', ':', '-Z'], 'gone:\n');
    await kcat(['-P', '-t', queue, '-K', ':'], 'empty:\n');
    await backend.publishToQueue(queue, [message(Uint8Array.of(0xff, 0, 1), { key: 'bytes' })]);
    const received = inbox();
    await backend.subscribe(queue, { maxInFlight: 5 }, received.receive);
    await arrived(received.deliveries, 3);
    expect(received.deliveries.map(({ message: { key, content } }) => [key, content])).toEqual([
      ['gone', null],
      ['empty', ''],
      ['bytes', Uint8Array.of(0xff, 0, 1)],
    ]);
    // It stays one through a retry.
    await received.deliveries[0]?.retry();
    await arrived(received.deliveries, 4);
    expect(received.deliveries[3]?.message).toMatchObject({ key: 'gone', content: null });
  });

  test('what we publish is plain to any client: text as text, the envelope in headers, the key as the key', async () => {
    const backend = backendFor();
    const queue = queueName(backend);
    await backend.declareQueue(queue, { partitions: 1 });
    const serializers = new SerializerRegistry({
      serializers: { json: new JsonSerializer() },
      default: 'json',
    });
    const publisher = new QueuePublisher({ backend, serializers });
    await publisher.publish(queue, { total: 1 }, { key: 'customer-7', headers: { correlationId: 'c-1' } });
    const line = await kcat(['-C', '-t', queue, '-c', '1', '-e', '-J']);
    const record = JSON.parse(line);
    expect(record.key).toBe('customer-7');
    expect(JSON.parse(record.payload)).toEqual({ total: 1 });
    const headers: string[] = record.headers;
    const pairs = new Map(
      headers.flatMap((name, index) => (index % 2 === 0 ? [[name, headers[index + 1]]] : [])) as [
        string,
        string,
      ][],
    );
    expect([...pairs.keys()].sort()).toEqual([
      'correlationId',
      'manifest',
      'message_id',
      'published_at',
      'serializer_id',
    ]);
    expect(pairs.get('manifest')).toBe('json');
    expect(pairs.get('serializer_id')).toBe('1');
  });

  test('a topic that Melange did not make is a queue, with what was in it before', async () => {
    const backend = backendFor();
    const queue = queueName(backend);
    // Made by hand: no entry in the topology, no retry topic.
    const admin = await foreignAdmin();
    await admin.createTopics({ topics: [{ topic: queue, numPartitions: 2 }] });
    await kcat(['-P', '-t', queue], 'one\n');
    const received = inbox((delivery) =>
      delivery.attempt === 1 ? delivery.retry() : delivery.acknowledge(),
    );
    await backend.subscribe(queue, { maxInFlight: 5 }, received.receive);
    await arrived(received.deliveries, 2);
    expect(received.deliveries.map(({ attempt }) => attempt)).toEqual([1, 2]);
    await vi.waitFor(async () => expect((await backend.describeQueue(queue)).depth).toBe(0), soon);
  });

  test('what another client compressed is read, whatever the codec', async () => {
    const backend = backendFor();
    const queue = queueName(backend);
    await backend.declareQueue(queue, { partitions: 1 });
    const codecs = ['none', 'gzip', 'snappy', 'lz4', 'zstd'];
    const linesOf = (codec: string) =>
      Array.from({ length: 20 }, (_, n) => `${codec} ${n} ${'compressible '.repeat(20)}`);
    for (const codec of codecs)
      await kcat(['-P', '-t', queue, '-z', codec], `${linesOf(codec).join('\n')}\n`);
    const received = inbox((delivery) => delivery.acknowledge());
    await backend.subscribe(queue, { maxInFlight: 50 }, received.receive);
    await arrived(received.deliveries, 100);
    expect(received.contents()).toEqual(codecs.flatMap(linesOf));
  });
});
