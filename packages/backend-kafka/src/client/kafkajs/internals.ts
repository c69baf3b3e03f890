import { MelangeError } from '@melange/core';
import type { Broker, Cluster, Kafka } from 'kafkajs';
import type { FetchedPartition, FetchRequest } from '../contract.ts';
import { fetchVersion, readFetchResponse, writeFetchRequest } from '../fetch-request.ts';
import type { ProducerIdentity } from '../producer.ts';
import { recordOf } from './records.ts';

/**
 * All that this adapter knows of kafkajs beyond its public API. Each part is looked for at run time, and only objects that were made
 * for this client are touched; where a part is missing, kafkajs does it in its own way, slower.
 */

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
  readonly connectionPool?: ConnectionPool;
  readonly versions?: Readonly<Record<number, { readonly maxVersion: number }>>;
  initProducerId?(options: object): Promise<{ readonly producerId: string; readonly producerEpoch: number }>;
}

/** Kafka's numbers of requests. */
const produceKey = 0;
const fetchKey = 1;
/** The version that our produce requests are of: of Kafka 2.1 and since. */
const produceVersion = 7;

/** Lets the connections of every cluster that this `Kafka` makes rest while nothing is asked. */
export function instrument(kafka: Kafka): void {
  const make = Object.getOwnPropertySymbols(kafka).find(
    ({ description }) => description === 'private:Kafka:createCluster',
  );
  const makers = kafka as unknown as Record<symbol, unknown>;
  const create = make === undefined ? undefined : makers[make];
  if (make === undefined || typeof create !== 'function') return;
  makers[make] = (options: unknown): Cluster => {
    const cluster = create(options) as Cluster;
    restWhenIdle(cluster);
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

/** Whether the broker takes requests in our own bytes of the version. */
function takesBytes(broker: Broker, apiKey: number, version: number): boolean {
  const { connectionPool, versions } = broker as unknown as BrokerInternals;
  return typeof connectionPool?.send === 'function' && (versions?.[apiKey]?.maxVersion ?? 0) >= version;
}

/** Sends the body of a request; resolves with the body of its answer. */
async function sendBytes(
  broker: Broker,
  { apiKey, apiVersion, apiName }: { apiKey: number; apiVersion: number; apiName: string },
  body: Buffer,
): Promise<Buffer> {
  const { connectionPool } = broker as unknown as BrokerInternals;
  const answer = await connectionPool?.send?.({
    request: {
      ...{ apiKey, apiVersion, apiName },
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

/** Whether `produce` and `newProducer` work with the broker. */
export function canProduce(broker: Broker): boolean {
  const { initProducerId } = broker as unknown as BrokerInternals;
  return takesBytes(broker, produceKey, produceVersion) && typeof initProducerId === 'function';
}

/** Sends the body of a produce request; resolves with the body of its answer. */
export function produce(broker: Broker, body: Buffer): Promise<Buffer> {
  return sendBytes(broker, { apiKey: produceKey, apiVersion: produceVersion, apiName: 'Produce' }, body);
}

/** A producer id of the cluster, used by nobody else. */
export async function newProducer(broker: Broker): Promise<ProducerIdentity> {
  const { initProducerId } = broker as unknown as Required<BrokerInternals>;
  const { producerId, producerEpoch } = await initProducerId.call(broker, { transactionTimeout: 60_000 });
  return { producerId: BigInt(producerId), epoch: producerEpoch };
}

/**
 * Fetches records. kafkajs makes a dozen objects of every record at once, and for each header a new object of all headers; we keep the
 * bytes, and read them as records are handed over.
 */
export async function fetchFrom(
  broker: Broker,
  request: FetchRequest,
  onSlow: (reason: string) => void,
): Promise<readonly FetchedPartition[]> {
  if (takesBytes(broker, fetchKey, fetchVersion)) {
    const api = { apiKey: fetchKey, apiVersion: fetchVersion, apiName: 'Fetch' };
    const answer = await readFetchResponse(await sendBytes(broker, api, writeFetchRequest(request)));
    if (answer !== undefined) return answer;
  } else onSlow('records are read in the way of kafkajs');
  return fetchSlowly(broker, request);
}

interface SlowAnswer {
  readonly topicName: string;
  readonly partitions: readonly {
    readonly partition: number;
    readonly highWatermark: string;
    readonly messages: readonly (Parameters<ReturnType<typeof recordOf>>[0] & {
      readonly isControlRecord?: boolean;
    })[];
  }[];
}

/** By the public API of kafkajs, which also knows the formats of before Kafka 0.11. */
async function fetchSlowly(
  broker: Broker,
  { partitions, maxWaitMs, maxBytes }: FetchRequest,
): Promise<readonly FetchedPartition[]> {
  const { responses } = await broker.fetch({
    maxWaitTime: maxWaitMs,
    minBytes: maxWaitMs > 0 ? 1 : 0,
    maxBytes,
    topics: partitions.map(({ topic, partition, offset, maxBytes: maxOfPartition }) => ({
      topic,
      partitions: [{ partition, fetchOffset: String(offset), maxBytes: maxOfPartition }],
    })),
  });
  return (responses as SlowAnswer[]).flatMap(({ topicName: topic, partitions: answered }) =>
    answered.map(({ partition, highWatermark, messages }) => ({
      ...{ topic, partition, error: undefined, highWatermark: Number(highWatermark) },
      records: messages
        .filter(({ isControlRecord }) => isControlRecord !== true)
        .map(recordOf(topic, partition)),
      lastOffset: messages.length === 0 ? undefined : Number(messages.at(-1)?.offset),
    })),
  );
}

/** Requests of a member, which the brokers of kafkajs can do and do not name in their types. */
export interface MemberRequests {
  joinGroup(request: object): Promise<{
    readonly memberId: string;
    readonly generationId: number;
    readonly leaderId: string;
    readonly members: readonly { readonly memberId: string; readonly memberMetadata: Buffer }[];
  }>;
  syncGroup(request: object): Promise<{ readonly memberAssignment: Buffer }>;
  heartbeat(request: object): Promise<unknown>;
  leaveGroup(request: object): Promise<unknown>;
}

const ofMembers = ['joinGroup', 'syncGroup', 'heartbeat', 'leaveGroup'] as const;

/** @throws MelangeError `CONFIGURATION` where the broker of kafkajs cannot do them. */
export function memberRequests(broker: Broker): MemberRequests {
  const requests = broker as unknown as Partial<MemberRequests>;
  const missing = ofMembers.filter((name) => typeof requests[name] !== 'function');
  if (missing.length === 0) return requests as MemberRequests;
  throw new MelangeError(
    'CONFIGURATION',
    `This kafkajs cannot ${missing.join(', ')}: install kafkajs 2.2, or another client for the adapter.`,
  );
}

/** Lets the cluster ask about this topic alone when it looks for its brokers: one that was deleted would fail each look. */
export function lookByTopic(cluster: Cluster, topic: string): void {
  const { targetTopics } = cluster as unknown as ClusterInternals;
  targetTopics?.clear();
  targetTopics?.add(topic);
}
