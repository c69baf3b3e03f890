import type { Cluster } from 'kafkajs';
import { expect, test } from 'vitest';
import { RecordsAsMessage, readFetches } from '../src/client/kafkajs/internals.ts';
import { batchOf, decodeByKafkajs, newEncoder, olderFormat } from './support/encoding.ts';

interface Decoded {
  readonly responses: readonly {
    readonly partitions: readonly { readonly messages: readonly unknown[] }[];
  }[];
}

/** Reads an answer as a member does. */
async function decodeHere(version: number, payload: Buffer): Promise<Decoded> {
  const response = { decode: (bytes: Buffer) => decodeByKafkajs(version, bytes), parse: () => undefined };
  const protocol = { request: { apiVersion: version }, response };
  const broker = { lookupRequest: (_apiKey: number) => (_options: object) => protocol };
  const cluster = { findBroker: async (_node: { nodeId: string }) => broker };
  readFetches(cluster as unknown as Cluster, (reason) => expect.unreachable(reason));
  const { lookupRequest } = await cluster.findBroker({ nodeId: '1' });
  // Found again, it is not taught again.
  expect((await cluster.findBroker({ nodeId: '1' })).lookupRequest).toBe(lookupRequest);
  expect(lookupRequest(0)({})).toBe(protocol);
  return (await lookupRequest(1)({}).response.decode(payload)) as Decoded;
}

function answer(version: number, ...partitions: readonly Buffer[]): Buffer {
  const encoder = newEncoder().writeInt32(70);
  if (version >= 7) encoder.writeInt16(0).writeInt32(0);
  encoder.writeInt32(1).writeString('orders').writeInt32(partitions.length);
  for (const [partition, bytes] of partitions.entries()) {
    encoder
      .writeInt32(partition)
      .writeInt16(partition === 1 ? 3 : 0)
      .writeInt64(1_000)
      .writeInt64(900);
    if (version >= 5) encoder.writeInt64(10);
    encoder.writeInt32(1).writeInt64(4711).writeInt64(5_000);
    if (version >= 11) encoder.writeInt32(-1);
    encoder.writeBytes(bytes);
  }
  return encoder.buffer;
}

test.each([4, 5, 6, 7, 8, 9, 10, 11])(
  'an answer of version %i is what kafkajs makes of it',
  async (version) => {
    const records = [{ key: Buffer.from('key'), value: Buffer.from('value') }];
    const payload = answer(version, await batchOf({ firstOffset: 4, records }), Buffer.alloc(0));
    const [theirs, ours] = [await decodeByKafkajs(version, payload), await decodeHere(version, payload)];
    const [first, second] = ours.responses[0]?.partitions ?? [];
    expect(first?.messages).toHaveLength(1);
    expect(first?.messages[0]).toBeInstanceOf(RecordsAsMessage);
    expect(first?.messages[0]).toMatchObject({ offset: '4' });
    expect(second?.messages).toEqual([]);
    // What is told of the partitions besides; transactions that were aborted are dealt with here.
    expect(theirs).toMatchObject({
      responses: [
        {
          topicName: 'orders',
          partitions: (ours.responses[0]?.partitions ?? []).map((partition) => ({
            ...partition,
            abortedTransactions: [{ producerId: '4711', firstOffset: '5000' }],
            messages: expect.anything(),
          })),
        },
      ],
    });
    const throttled = (decoded: unknown): unknown =>
      (decoded as { clientSideThrottleTime?: number }).clientSideThrottleTime;
    expect(throttled(ours)).toBe(throttled(theirs));
  },
);

test('an answer with an older format of messages in it is left to kafkajs', async () => {
  const payload = answer(11, olderFormat('before'));
  const ours = await decodeHere(11, payload);
  expect(ours).toEqual(await decodeByKafkajs(11, payload));
  expect(ours.responses[0]?.partitions[0]?.messages[0]).toMatchObject({ value: Buffer.from('before') });
});
