import { ByteReader } from './byte-reader.ts';
import { ByteWriter } from './byte-writer.ts';

/** Name by which the members of a group agree how partitions are shared out. */
export const sharingProtocol = 'MelangeCoPartitioned';
const version = 1;

/** Topics that a member reads. */
export function writeSubscription(topics: readonly string[]): Buffer {
  const size = topics.reduce((sum, topic) => sum + 2 + Buffer.byteLength(topic), 10);
  const writer = new ByteWriter(Buffer.alloc(size));
  writer.int16(version);
  writer.int32(topics.length);
  for (const topic of topics) writer.text(topic);
  // No data of the user.
  writer.int32(0);
  return writer.bytes;
}

/** As `writeSubscription` wrote it, or another client. */
export function readSubscription(bytes: Buffer): readonly string[] {
  const reader = new ByteReader(bytes, 2);
  return Array.from({ length: reader.int32() }, () => reader.text());
}

/** Partitions by topic. */
export type Assigned = Readonly<Record<string, readonly number[]>>;

/** The partitions of a member. */
export function writeAssignment(assigned: Assigned): Buffer {
  const topics = Object.entries(assigned);
  const size = topics.reduce(
    (sum, [topic, { length }]) => sum + 6 + Buffer.byteLength(topic) + length * 4,
    10,
  );
  const writer = new ByteWriter(Buffer.alloc(size));
  writer.int16(version);
  writer.int32(topics.length);
  for (const [topic, partitions] of topics) {
    writer.text(topic);
    writer.int32(partitions.length);
    for (const partition of partitions) writer.int32(partition);
  }
  writer.int32(0);
  return writer.bytes;
}

/** As `writeAssignment` wrote it; a member that was given nothing may get no bytes. */
export function readAssignment(bytes: Buffer): Assigned {
  const assigned: Record<string, number[]> = Object.create(null);
  if (bytes.length === 0) return assigned;
  const reader = new ByteReader(bytes, 2);
  for (let left = reader.int32(); left > 0; left -= 1) {
    const topic = reader.text();
    assigned[topic] = Array.from({ length: reader.int32() }, () => reader.int32());
  }
  return assigned;
}

/**
 * Shares out partitions: those of one number go to one member, whatever their topic, so that a key keeps its member across retries.
 *
 * @param partitionsOf number of partitions of a topic.
 */
export function shareOut(
  members: readonly { readonly memberId: string; readonly topics: readonly string[] }[],
  partitionsOf: (topic: string) => number,
): ReadonlyMap<string, Assigned> {
  const shares = new Map<string, Record<string, number[]>>();
  const inOrder = [...members].sort((left, right) => (left.memberId < right.memberId ? -1 : 1));
  for (const { memberId } of inOrder) shares.set(memberId, Object.create(null));
  for (const topic of new Set(inOrder.flatMap(({ topics }) => topics))) {
    const takers = inOrder.filter(({ topics }) => topics.includes(topic));
    for (let partition = 0; partition < partitionsOf(topic); partition += 1) {
      const { memberId } = takers[partition % takers.length] as (typeof takers)[number];
      const share = shares.get(memberId) as Record<string, number[]>;
      share[topic] = [...(share[topic] ?? []), partition];
    }
  }
  return shares;
}
