import { expect, test } from 'vitest';
import { readFetchResponse, writeFetchRequest } from '../src/client/fetch-request.ts';
import { batchOf, decodeByKafkajs, encodeByKafkajs, newEncoder, olderFormat } from './support/encoding.ts';

function answer(error: number, ...partitions: readonly Buffer[]): Buffer {
  const encoder = newEncoder().writeInt32(70).writeInt16(error).writeInt32(0);
  encoder.writeInt32(1).writeString('orders').writeInt32(partitions.length);
  for (const [partition, bytes] of partitions.entries()) {
    encoder
      .writeInt32(partition)
      .writeInt16(partition === 1 ? 1 : 0)
      .writeInt64(1_000)
      .writeInt64(900)
      .writeInt64(10);
    encoder.writeInt32(1).writeInt64(4711).writeInt64(5_000).writeInt32(-1).writeBytes(bytes);
  }
  return encoder.buffer;
}

test('an answer is read as kafkajs reads it, each partition with an error of its own', async () => {
  const records = [{ key: Buffer.from('key'), value: Buffer.from('value') }];
  const payload = answer(0, await batchOf({ firstOffset: 4, records }), Buffer.alloc(0));
  const ours = await readFetchResponse(payload);
  expect(ours).toMatchObject([
    { topic: 'orders', partition: 0, error: undefined, highWatermark: 1_000, lastOffset: 4 },
    { topic: 'orders', partition: 1, error: 'OFFSET_OUT_OF_RANGE', records: [], lastOffset: undefined },
  ]);
  expect(ours?.[0]?.records[0]).toMatchObject({ ...records[0], offset: 4, topic: 'orders', partition: 0 });
  expect(await decodeByKafkajs(11, payload)).toMatchObject({
    responses: [
      {
        topicName: 'orders',
        partitions: [
          { partition: 0, errorCode: 0, highWatermark: '1000', messages: [{ offset: '4' }] },
          { partition: 1, errorCode: 1 },
        ],
      },
    ],
  });
});

test('an error of the whole answer is thrown by its name', async () => {
  await expect(readFetchResponse(answer(56))).rejects.toMatchObject({ type: 'KAFKA_STORAGE_ERROR' });
});

test('an answer with a format of before Kafka 0.11 is left to the client', async () => {
  expect(await readFetchResponse(answer(0, olderFormat('before')))).toBeUndefined();
});

test('a request is what kafkajs would write', async () => {
  const asked = [
    { topic: 'orders', partition: 3, offset: 2 ** 40, maxBytes: 100 },
    { topic: 'orders', partition: 4, offset: 0, maxBytes: 200 },
    { topic: 'zürich', partition: 0, offset: 7, maxBytes: 300 },
  ];
  const theirs = await encodeByKafkajs('fetch', 11, {
    ...{ replicaId: -1, isolationLevel: 1, maxWaitTime: 200, minBytes: 1, maxBytes: 1_000 },
    sessionId: 0,
    sessionEpoch: -1,
    rackId: '',
    topics: ['orders', 'zürich'].map((topic) => ({
      topic,
      partitions: asked
        .filter((one) => one.topic === topic)
        .map(({ partition, offset, maxBytes }) => ({ partition, fetchOffset: String(offset), maxBytes })),
    })),
  });
  expect(writeFetchRequest({ node: 1, maxWaitMs: 200, maxBytes: 1_000, partitions: asked })).toEqual(theirs);
});
