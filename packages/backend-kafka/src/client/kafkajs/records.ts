import type { KafkaMessage } from 'kafkajs';
import type { IncomingRecord, RecordHeader } from '../../wire/message.ts';
import type { Commit } from '../contract.ts';

/** Offsets as kafkajs commits them. */
export interface CommitRequest {
  topics: { topic: string; partitions: { partition: number; offset: string; metadata: string }[] }[];
}

export function requestOf(commits: readonly Commit[]): CommitRequest {
  const topics = new Map<string, CommitRequest['topics'][number]['partitions']>();
  for (const { topic, partition, offset, metadata } of commits) {
    const partitions = topics.get(topic) ?? [];
    topics.set(topic, partitions);
    partitions.push({ partition, offset: String(offset), metadata });
  }
  return { topics: [...topics].map(([topic, partitions]) => ({ topic, partitions })) };
}

/** A record as kafkajs reads it. */
export const recordOf =
  (topic: string, partition: number): ((message: KafkaMessage) => IncomingRecord) =>
  ({ offset, timestamp, key, value, headers }) => ({
    topic,
    partition,
    offset: Number(offset),
    timestamp: Number(timestamp),
    size: (key?.length ?? 0) + (value?.length ?? 0),
    key,
    value,
    headers: headersOf(headers ?? {}),
  });

function headersOf(received: NonNullable<KafkaMessage['headers']>): Readonly<Record<string, RecordHeader>> {
  const headers: Record<string, RecordHeader> = Object.create(null);
  for (const [name, value] of Object.entries(received)) {
    // kafkajs takes what every object has under a name for an earlier header of that name.
    headers[name] = Array.isArray(value)
      ? (value as unknown[]).filter((one): one is Buffer | null => one === null || Buffer.isBuffer(one))
      : ((value as Buffer | undefined) ?? null);
  }
  return headers;
}
