import { expect, test } from 'vitest';
import { Producer } from '../src/client/producer.ts';
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
  return {
    numbered,
    giveId,
    async newProducer() {
      await mayGiveId;
      producers += 1;
      return { producerId: BigInt(producers), epoch: 0 };
    },
    async produce(_node: number, _lane: string, body: Buffer) {
      numbered.push({
        producerId: body.readBigInt64BE(batchAt + 43),
        firstSequence: body.readInt32BE(batchAt + 53),
        count: body.readInt32BE(batchAt + 57),
      });
      return taken();
    },
  };
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
  const { numbered, giveId, ...requests } = scriptedBroker();
  const producer = new Producer({
    ...requests,
    leaderOf: async () => 0,
    forgetLeaders: () => undefined,
    timeoutMs: 1_000,
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
});
