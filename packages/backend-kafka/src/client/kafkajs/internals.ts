import type { Broker, Cluster, Kafka } from 'kafkajs';
import type { FetchedRecord } from '../../wire/fetched-record.ts';
import { decodeFetch } from './decode-fetch.ts';

/**
 * All that this adapter knows of kafkajs beyond its public API. Each part is looked for at run time, and only objects that were made
 * for this client are touched; where a part is missing, kafkajs does it in its own way, slower.
 */

/** How kafkajs makes one request, and reads its answer. */
interface Protocol {
  readonly request: { readonly apiVersion: number };
  readonly response: { decode(payload: Buffer): Promise<unknown>; parse(decoded: unknown): unknown };
}

type LookUp = (apiKey: number, definition: unknown) => (options: unknown) => Protocol;

/** The requests of one connection. */
interface RequestQueue {
  readonly pending: readonly unknown[];
  scheduleCheckPendingRequests?: () => void;
}

interface ConnectionPool {
  readonly pool?: readonly { readonly requestQueue?: RequestQueue }[];
  send?(request: object): Promise<unknown>;
}

interface ClusterInternals {
  readonly connectionPoolBuilder?: { build?(destination?: object): Promise<ConnectionPool> };
  readonly targetTopics?: Set<string>;
}

interface BrokerInternals {
  lookupRequest?: LookUp;
  readonly connectionPool?: ConnectionPool;
  readonly versions?: Readonly<Record<number, { readonly maxVersion: number }>>;
  initProducerId?(options: object): Promise<{ readonly producerId: string; readonly producerEpoch: number }>;
}

/** Kafka's numbers of requests. */
const produceKey = 0;
const fetchKey = 1;
/** The version that our produce requests are of: of Kafka 2.1 and since. */
const produceVersion = 7;
/** From the first version with record batches to the last one that kafkajs knows. */
const oldestFetch = 4;
const newestFetch = 11;

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
 * Lets every cluster that this `Kafka` makes read fetches in our way, and its connections rest while nothing is asked.
 *
 * @param onSlow told, once, of a part that kafkajs does not have.
 */
export function instrument(kafka: Kafka, onSlow: (reason: string) => void): void {
  const make = Object.getOwnPropertySymbols(kafka).find(
    ({ description }) => description === 'private:Kafka:createCluster',
  );
  const makers = kafka as unknown as Record<symbol, unknown>;
  const create = make === undefined ? undefined : makers[make];
  if (make === undefined || typeof create !== 'function') {
    onSlow('clusters cannot be reached, and records are read in the way of kafkajs');
    return;
  }
  makers[make] = (options: unknown): Cluster => {
    const cluster = create(options) as Cluster;
    restWhenIdle(cluster);
    readFetches(cluster, onSlow);
    return cluster;
  };
}

/**
 * Lets a connection look for requests that wait only while some do. kafkajs looks a thousand times a second, for as long as
 * the connection lives, and Node 24 warns of it (tulios/kafkajs 1751). It looks again when one begins to wait, and at
 * every answer.
 */
function restWhenIdle(cluster: Cluster): void {
  const { connectionPoolBuilder: builder } = cluster as unknown as ClusterInternals;
  const build = builder?.build?.bind(builder);
  if (builder === undefined || build === undefined) return;
  builder.build = async (destination) => {
    const made = await build(destination);
    for (const { requestQueue } of made.pool ?? []) {
      const schedule = requestQueue?.scheduleCheckPendingRequests?.bind(requestQueue);
      if (requestQueue === undefined || schedule === undefined) continue;
      requestQueue.scheduleCheckPendingRequests = () => {
        if (requestQueue.pending.length > 0) schedule();
      };
    }
    return made;
  };
}

const ours = new WeakSet<LookUp>();

/**
 * Lets the cluster's brokers read the records of fetches in our way. kafkajs makes a dozen objects of every record at once, and for each
 * header a new object of all headers; we keep the bytes, and read them as records are handed over.
 */
export function readFetches(cluster: Cluster, onSlow: (reason: string) => void): void {
  const find = cluster.findBroker.bind(cluster);
  cluster.findBroker = async (node) => {
    const broker = await find(node);
    const internals = broker as unknown as BrokerInternals;
    const { lookupRequest } = internals;
    if (typeof lookupRequest !== 'function') onSlow('records are read in the way of kafkajs');
    // Connected anew it has another one.
    else if (!ours.has(lookupRequest)) internals.lookupRequest = withOurReading(lookupRequest);
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
      if (apiVersion < oldestFetch || apiVersion > newestFetch) return protocol;
      const decode = async (payload: Buffer): Promise<unknown> =>
        (await decodeFetch(
          payload,
          apiVersion,
          (records, lastOffset) => new RecordsAsMessage(records, lastOffset),
        )) ?? response.decode(payload);
      return { ...protocol, response: { ...response, decode } };
    };
  };
  ours.add(looked);
  return looked;
}

/** Whether `produce` and `newProducer` work with the broker. */
export function canProduce(broker: Broker): boolean {
  const { connectionPool, versions, initProducerId } = broker as unknown as BrokerInternals;
  const newest = versions?.[produceKey]?.maxVersion ?? 0;
  const parts = [connectionPool?.send, initProducerId];
  return newest >= produceVersion && parts.every((part) => typeof part === 'function');
}

/** Sends the body of a produce request; resolves with the body of its answer. */
export async function produce(broker: Broker, body: Buffer): Promise<Buffer> {
  const { connectionPool } = broker as unknown as BrokerInternals;
  const answer = await connectionPool?.send?.({
    request: {
      apiKey: produceKey,
      apiVersion: produceVersion,
      apiName: 'Produce',
      // As an encoder of kafkajs.
      encode: async () => ({ buf: body, buffer: body, size: () => body.length }),
    },
    response: {
      decode: async (payload: Buffer) => ({ payload }),
      parse: async ({ payload }: { readonly payload: Buffer }) => payload,
    },
  });
  return answer as Buffer;
}

/** A producer id of the cluster, used by nobody else. */
export async function newProducer(
  broker: Broker,
): Promise<{ readonly producerId: bigint; readonly epoch: number }> {
  const { initProducerId } = broker as unknown as Required<BrokerInternals>;
  const { producerId, producerEpoch } = await initProducerId.call(broker, { transactionTimeout: 60_000 });
  return { producerId: BigInt(producerId), epoch: producerEpoch };
}

/** Lets the cluster ask about this topic alone when it looks for its brokers: one that was deleted would fail each look. */
export function lookByTopic(cluster: Cluster, topic: string): void {
  const { targetTopics } = cluster as unknown as ClusterInternals;
  targetTopics?.clear();
  targetTopics?.add(topic);
}
