import { connect, createServer, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';
import type { KafkaSocketOptions } from '../../src/index.ts';
import { ByteReader } from '../../src/wire/byte-reader.ts';
import { address } from './scene.ts';

const produce = 0;
const notEnoughReplicas = 19;

/** What happens to produce requests to a topic, or to a partition of it: `refuse` answers as a broker with too few replicas, `hold` never answers. */
export type GateMode = 'pass' | 'refuse' | 'hold';

/** Stands before the broker, and lets produce requests pass, or not, by their topic. */
export interface ProduceGate {
  readonly socketFactory: (options: KafkaSocketOptions) => Socket;
  /** @param place `topic`, or `topic/partition`. */
  readonly set: (place: string, mode: GateMode) => void;
  /** Produce requests to the topic that came here. */
  readonly requests: (topic: string) => number;
}

/** One node cannot lack replicas (since Kafka 3.7 it asks for no more than there are), so its answer is made here. */
export async function produceGate(): Promise<ProduceGate> {
  const modes = new Map<string, GateMode>();
  const seen = new Map<string, number>();
  const [host = '', port] = address.split(':');
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const target = connect({ host, port: Number(port), noDelay: true });
    for (const [socket, other] of [
      [client, target],
      [target, client],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => other.destroy());
      socket.on('close', () => other.destroy());
    }
    target.pipe(client);
    let read = Buffer.alloc(0);
    client.on('data', (chunk) => {
      read = Buffer.concat([read, chunk]);
      while (read.length >= 4 && read.length >= 4 + read.readInt32BE(0)) {
        const frame = read.subarray(0, 4 + read.readInt32BE(0));
        read = read.subarray(frame.length);
        const request = frame.readInt16BE(4) === produce ? parse(frame) : undefined;
        const topics = request?.topics.map(({ topic }) => topic) ?? [];
        for (const topic of topics) seen.set(topic, (seen.get(topic) ?? 0) + 1);
        const places = request?.topics.flatMap(({ topic, partitions }) => [
          topic,
          ...partitions.map((partition) => `${topic}/${partition}`),
        ]);
        const mode = places?.map((place) => modes.get(place)).find((one) => one !== undefined) ?? 'pass';
        if (mode === 'pass') target.write(frame);
        else if (mode === 'refuse' && request !== undefined) client.write(refusal(request));
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const { port: ours } = server.address() as { port: number };
  return {
    socketFactory: ({ onConnect }) => connect({ host: '127.0.0.1', port: ours, noDelay: true }, onConnect),
    set: (place, mode) => void modes.set(place, mode),
    requests: (topic) => seen.get(topic) ?? 0,
  };
}

interface ProduceRequest {
  readonly correlationId: number;
  readonly version: number;
  readonly topics: readonly { readonly topic: string; readonly partitions: readonly number[] }[];
}

/** Of the versions 3 to 8. */
function parse(frame: Buffer): ProduceRequest {
  const reader = new ByteReader(frame, 6);
  const text = (): string => {
    const length = Math.max(0, reader.int16());
    reader.at += length;
    return frame.toString('utf8', reader.at - length, reader.at);
  };
  const version = reader.int16();
  const correlationId = reader.int32();
  // The client, the transaction, acknowledgements and the timeout.
  text();
  text();
  reader.at += 6;
  const topics = Array.from({ length: reader.int32() }, () => {
    const topic = text();
    const partitions = Array.from({ length: reader.int32() }, () => {
      const partition = reader.int32();
      const bytes = reader.int32();
      reader.at += bytes;
      return partition;
    });
    return { topic, partitions };
  });
  return { correlationId, version, topics };
}

function refusal({ correlationId, version, topics }: ProduceRequest): Buffer {
  const parts: Buffer[] = [];
  const int = (value: number, bytes: 2 | 4): void => {
    const buffer = Buffer.alloc(bytes);
    buffer.writeIntBE(value, 0, bytes);
    parts.push(buffer);
  };
  int(correlationId, 4);
  int(topics.length, 4);
  for (const { topic, partitions } of topics) {
    int(Buffer.byteLength(topic), 2);
    parts.push(Buffer.from(topic));
    int(partitions.length, 4);
    for (const partition of partitions) {
      int(partition, 4);
      int(notEnoughReplicas, 2);
      // Offset, time, and the start of the log where the version has it.
      parts.push(Buffer.alloc(version >= 5 ? 24 : 16, 0xff));
    }
  }
  int(0, 4);
  const body = Buffer.concat(parts);
  const length = Buffer.alloc(4);
  length.writeInt32BE(body.length, 0);
  return Buffer.concat([length, body]);
}
