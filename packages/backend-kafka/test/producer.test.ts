import type { Broker, Cluster } from 'kafkajs';
import { expect, test } from 'vitest';
import { Producer } from '../src/client/kafkajs/producer.ts';
import { SlowProducer } from '../src/client/kafkajs/slow-producer.ts';
import { ByteWriter } from '../src/wire/byte-writer.ts';

const topic = 'orders';
/** Where the batch begins in a request for one partition of the topic: see `writeProduceRequest`. */
const batchAt = 12 + 2 + topic.length + 4 + 8;

/** Takes whatever it is sent, once it has given a producer id; notes what records are numbered by. */
function scriptedBroker() {
  const numbered: { readonly producerId: bigint; readonly firstSequence: number; readonly count: number }[] =
    [];
  let giveId: () => void = () => undefined;
  const mayGiveId = new Promise<void>((resolve) => {
    giveId = resolve;
  });
  let producers = 0;
  const broker = {
    versions: { 0: { maxVersion: 7 } },
    async initProducerId() {
      await mayGiveId;
      producers += 1;
      return { producerId: String(producers), producerEpoch: 0 };
    },
    connectionPool: {
      async send({ request }: { readonly request: { encode(): Promise<{ readonly buf: Buffer }> } }) {
        const { buf } = await request.encode();
        numbered.push({
          producerId: buf.readBigInt64BE(batchAt + 43),
          firstSequence: buf.readInt32BE(batchAt + 53),
          count: buf.readInt32BE(batchAt + 57),
        });
        return taken();
      },
    },
  };
  return { broker: broker as unknown as Broker, numbered, giveId };
}

/** The answer that partition 0 took its batch. */
function taken(): Buffer {
  const writer = new ByteWriter(Buffer.alloc(4 + 2 + topic.length + 4 + 4 + 2 + 24 + 4));
  writer.int32(1);
  writer.int16(topic.length);
  writer.at += writer.bytes.write(topic, writer.at);
  writer.int32(1);
  return writer.bytes;
}

test('two sends of other records to a partition, one of which nobody waits for, never have the same numbers', async () => {
  const { broker, numbered, giveId } = scriptedBroker();
  const cluster = { findBroker: async () => broker, disconnect: async () => undefined } as unknown as Cluster;
  const producer = new Producer({
    openCluster: () => cluster,
    leaderOf: async () => 0,
    forgetLeaders: () => undefined,
    timeoutMs: 1_000,
    onSlow: () => undefined,
    slowProducer: () => new SlowProducer({} as never, 1_000),
  });
  const send = (text: string) =>
    producer.send({
      topic,
      partition: 0,
      items: [{ record: { key: null, value: Buffer.from(text), headers: {} } }],
      isCompressed: false,
    });
  const sent = [send('one'), send('other')];
  giveId();
  await Promise.all(sent);
  expect(numbered).toEqual([
    { producerId: 1n, firstSequence: 0, count: 1 },
    { producerId: 1n, firstSequence: 1, count: 1 },
  ]);
  await producer.close();
});
