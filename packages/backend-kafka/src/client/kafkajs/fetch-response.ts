import kafkajs, { type Cluster } from 'kafkajs';
import { ByteReader } from '../../wire/byte-reader.ts';
import type { FetchedRecord } from '../../wire/fetched-record.ts';
import { type AbortedTransaction, type Decompress, readRecordBatches } from '../../wire/record-batch.ts';

/** How kafkajs makes one request, and reads what is answered. */
interface Protocol {
  readonly request: { readonly apiVersion: number };
  readonly response: {
    decode(payload: Buffer): Promise<unknown>;
    parse(decoded: unknown): unknown;
  };
}

type MakeProtocol = (options: unknown) => Protocol;
type LookUp = (apiKey: number, definition: unknown) => MakeProtocol;

/** Kafka's number of the request. */
const fetchKey = 1;
/** From the first version with record batches to the last one that kafkajs knows. */
const oldest = 4;
const newest = 11;
const ours = new WeakSet<LookUp>();

/** All records of a fetched partition, which kafkajs passes on as one message: at the last of their offsets. */
export class RecordsAsMessage {
  readonly offset: string;
  readonly records: readonly FetchedRecord[];
  readonly key = null;
  readonly value = null;
  readonly timestamp = '0';
  readonly attributes = 0;
  readonly headers = {};

  constructor(records: readonly FetchedRecord[], lastOffset: number) {
    this.records = records;
    this.offset = String(lastOffset);
  }
}

/**
 * Lets the cluster's brokers read the records of fetches in our way. kafkajs makes a dozen objects and a new object of
 * all headers for each header, of every record at once; we keep the bytes, and read them as records are handed over.
 */
export function readFetches(cluster: Cluster): void {
  const find = cluster.findBroker.bind(cluster);
  cluster.findBroker = async (node) => {
    const broker = await find(node);
    const internals = broker as unknown as { lookupRequest: LookUp };
    // Connected anew it has another one.
    if (!ours.has(internals.lookupRequest)) internals.lookupRequest = withOurReading(internals.lookupRequest);
    return broker;
  };
}

function withOurReading(lookUp: LookUp): LookUp {
  const looked: LookUp = (apiKey, definition) => {
    const make = lookUp(apiKey, definition);
    if (apiKey !== fetchKey) return make;
    return (options) => {
      const protocol = make(options);
      const { request, response } = protocol;
      const { apiVersion } = request;
      if (apiVersion < oldest || apiVersion > newest) return protocol;
      const decode = async (payload: Buffer): Promise<unknown> =>
        (await decodeResponse(payload, apiVersion)) ?? response.decode(payload);
      return { ...protocol, response: { ...response, decode } };
    };
  };
  ours.add(looked);
  return looked;
}

/** As kafkajs has it; `undefined` when there is a format among it that is left to kafkajs. */
async function decodeResponse(payload: Buffer, version: number): Promise<object | undefined> {
  const reader = new ByteReader(payload);
  const throttleTime = reader.int32();
  // Error and session of the whole, which kafkajs has none of.
  if (version >= 7) reader.at += 6;
  const responses: object[] = [];
  for (let topics = reader.int32(); topics > 0; topics -= 1) {
    const nameLength = reader.int16();
    const topicName = payload.toString('utf8', reader.at, reader.at + nameLength);
    reader.at += nameLength;
    const partitions: object[] = [];
    for (let count = reader.int32(); count > 0; count -= 1) {
      const partition = await decodePartition(reader, topicName, version);
      if (partition === undefined) return undefined;
      partitions.push(partition);
    }
    responses.push({ topicName, partitions });
  }
  // From version 8 on the broker leaves it to its clients to wait.
  return version < 8 ? { throttleTime, responses } : { clientSideThrottleTime: throttleTime, responses };
}

async function decodePartition(
  reader: ByteReader,
  topic: string,
  version: number,
): Promise<object | undefined> {
  const partition = reader.int32();
  const errorCode = reader.int16();
  const highWatermark = String(reader.int64());
  reader.at += version >= 5 ? 16 : 8;
  const aborted: AbortedTransaction[] = [];
  for (let count = reader.int32(); count > 0; count -= 1)
    aborted.push({ producerId: reader.int64(), firstOffset: reader.int64() });
  const replica = version >= 11 ? { preferredReadReplica: reader.int32() } : {};
  const length = Math.max(0, reader.int32());
  const bytes = reader.bytes.subarray(reader.at, reader.at + length);
  reader.at += length;
  aborted.sort((left, right) => left.firstOffset - right.firstOffset);
  const read = await readRecordBatches({ topic, partition, bytes }, aborted, decompress);
  if (read === 'older-format') return undefined;
  const { records, lastOffset } = read;
  const messages = lastOffset === undefined ? [] : [new RecordsAsMessage(records, lastOffset)];
  return { partition, errorCode, highWatermark, ...replica, abortedTransactions: [], messages };
}

const decompress: Decompress = async (codec, compressed) => {
  const codecs = kafkajs.CompressionCodecs as unknown as Record<
    number,
    () => { decompress: (bytes: Buffer) => Promise<Buffer> }
  >;
  const make = codecs[codec];
  if (make === undefined) throw new RangeError(`Kafka has no codec ${codec} that is known here.`);
  return make().decompress(compressed);
};
