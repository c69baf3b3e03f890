import type { KafkaMessage } from 'kafkajs';
import type { IncomingRecord, RecordHeader } from '../kafka-message-mapper.ts';
import type { Commit } from './contract.ts';

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

export function recordOf(topic: string, partition: number, message: KafkaMessage): IncomingRecord {
  return {
    topic,
    partition,
    offset: Number(message.offset),
    key: message.key,
    value: message.value,
    headers: headersOf(message.headers ?? {}),
  };
}

function headersOf(received: NonNullable<KafkaMessage['headers']>): Readonly<Record<string, RecordHeader>> {
  // Most have each name once, and are taken as they are: all who read them look at own names alone.
  if (Object.keys(received).every((name) => Buffer.isBuffer(received[name])))
    return received as Readonly<Record<string, Buffer>>;
  const headers: Record<string, RecordHeader> = Object.create(null);
  for (const [name, value] of Object.entries(received)) {
    // kafkajs takes what every object has under a name for an earlier header of that name.
    headers[name] = Array.isArray(value)
      ? (value as unknown[]).filter((one): one is Buffer | null => one === null || Buffer.isBuffer(one))
      : ((value as Buffer | undefined) ?? null);
  }
  return headers;
}
