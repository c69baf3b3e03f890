import type { Socket } from 'node:net';
import type { ConnectionOptions } from 'node:tls';
import { type Logger, MelangeError, type QueueOptions } from '@melange/core';
import { checkWholeNumber } from '@melange/core/adapter';

/** What makes the socket to one broker. */
export interface KafkaSocketOptions {
  /** Host of the broker, by name or address. */
  readonly host: string;
  /** Port of the broker. */
  readonly port: number;
  /** TLS settings, where TLS is asked for. */
  readonly ssl: ConnectionOptions | undefined;
  /** To be called when the socket is connected. */
  readonly onConnect: () => void;
}

/** How a process says who it is. */
export type KafkaCredentials =
  | KafkaPassword<'plain'>
  | KafkaPassword<'scram-sha-256'>
  | KafkaPassword<'scram-sha-512'>
  | {
      readonly mechanism: 'oauthbearer';
      /** Called for each connection, and again before the token ends. */
      readonly oauthBearerProvider: () => Promise<{ readonly value: string }>;
    };

/** A name and a password. */
export interface KafkaPassword<Mechanism extends string> {
  /** How the password is shown to the broker. */
  readonly mechanism: Mechanism;
  /** Name of the user. */
  readonly username: string;
  /** Kept out of log lines and errors. */
  readonly password: string;
}

/** Settings of `KafkaBackend`. */
export interface KafkaBackendOptions {
  /** Brokers to begin with, as `host:port` or `kafka://host:port`, `[::1]:9092` for an IPv6 address; the others are found by asking them. */
  readonly brokers: readonly string[];
  /** Name under which the brokers log this client. Default: `melange`. */
  readonly clientId?: string;
  /** TLS: `true`, or Node's settings of it. Default: none. */
  readonly ssl?: boolean | ConnectionOptions;
  /** Credentials. Default: none. */
  readonly sasl?: KafkaCredentials;
  /** Makes the sockets, for a proxy or a tunnel. Default: kafkajs's own. */
  readonly socketFactory?: (options: KafkaSocketOptions) => Socket;
  /** Longest wait for a connection, in ms. Default: 5,000. */
  readonly connectTimeoutMs?: number;
  /** Longest wait for the answer to one request, in ms. Default: 15,000. */
  readonly requestTimeoutMs?: number;
  /** Longest wait for the confirmation of a publish, reconnects included, in ms; past it `PublishError`. Default: 30,000. */
  readonly publishTimeoutMs?: number;
  /** Partitions of the topics that are made here: as many processes can share a queue. Default: 6. */
  readonly partitions?: number;
  /** Copies of the topics that are made here. Default: 3, or the number of brokers where there are fewer. */
  readonly replicationFactor?: number;
  /**
   * Settings of the topics that are made here, under Kafka's names, such as `retention.ms`: what is older is deleted,
   * consumed or not. Default: the brokers' own, and 2 for `min.insync.replicas` where there are at least 3 copies.
   */
  readonly topicSettings?: Readonly<Record<string, string>>;
  /** A process silent for so many ms loses its partitions to the others. The broker's limits are 6,000 to 1,800,000 by default. Default: 30,000. */
  readonly sessionTimeoutMs?: number;
  /** Interval of heartbeats in ms, which is also how soon a rebalance is noticed. Default: 1,000. */
  readonly heartbeatIntervalMs?: number;
  /**
   * How long handlers may go on before partitions are handed over in a rebalance, in ms. Past it their deliveries
   * are aborted with the reason `partition-revoked` and come again elsewhere. Must be below `sessionTimeoutMs`.
   * Default: 10,000, or half the session where that is less.
   */
  readonly revocationDeadlineMs?: number;
  /** Longest time between an acknowledgement and its commit, in ms: after a crash that much is repeated. Default: 500. */
  readonly commitIntervalMs?: number;
  /** Offsets of one partition that may be under way or waiting behind an unfinished one. Default: 10,000. */
  readonly maxTrackedOffsets?: number;
  /**
   * Bytes of records of one queue that are at hand and not handed over, past which no more are fetched; one fetch more may be under way.
   * Default: 16,777,216.
   */
  readonly maxBytesAtHand?: number;
  /** How soon partitions and bindings that others add are noticed, in ms. Default: 15,000. */
  readonly metadataMaxAgeMs?: number;
  /**
   * Work at hand of a queue, of a key that others wait for or of a partition that is full, and none of it finished for so
   * many ms, makes `health()` `degraded`. Default: 60,000.
   */
  readonly stalledAfterMs?: number;
  /** Compacted topic that holds which queue is bound to which topic and has which dead-letter queue. Default: `melange.topology`. */
  readonly topologyTopic?: string;
  /** Told of trouble and recovery. Default: warnings and errors to standard error. */
  readonly logger?: Logger;
}

/** How a Kafka queue is made. */
export interface KafkaQueueOptions extends QueueOptions {
  /** Partitions of its topic and of its retry topic, where they are made now. Default: the backend's. */
  readonly partitions?: number;
  /** Copies of them. Default: the backend's. */
  readonly replicationFactor?: number;
  /** Settings of them, and of the dead-letter queue where it is made now. Default: the backend's. */
  readonly topicSettings?: Readonly<Record<string, string>>;
}

/** Options that have no default. */
type Optional = 'ssl' | 'sasl' | 'socketFactory' | 'replicationFactor';

/** Settings with their defaults. */
export type KafkaSettings = Required<Omit<KafkaBackendOptions, Optional | 'logger'>> &
  Pick<KafkaBackendOptions, Optional>;

/** @throws MelangeError `CONFIGURATION` when a value makes no sense. */
export function settingsOf(options: KafkaBackendOptions): KafkaSettings {
  const sessionTimeoutMs = options.sessionTimeoutMs ?? 30_000;
  const { ssl, sasl, socketFactory, replicationFactor } = options;
  const settings: KafkaSettings = {
    ...(ssl === undefined ? {} : { ssl }),
    ...(sasl === undefined ? {} : { sasl }),
    ...(socketFactory === undefined ? {} : { socketFactory }),
    ...(replicationFactor === undefined ? {} : { replicationFactor }),
    brokers: options.brokers,
    clientId: options.clientId ?? 'melange',
    connectTimeoutMs: options.connectTimeoutMs ?? 5_000,
    requestTimeoutMs: options.requestTimeoutMs ?? 15_000,
    publishTimeoutMs: options.publishTimeoutMs ?? 30_000,
    partitions: options.partitions ?? 6,
    topicSettings: options.topicSettings ?? {},
    sessionTimeoutMs,
    heartbeatIntervalMs: options.heartbeatIntervalMs ?? Math.min(1_000, Math.floor(sessionTimeoutMs / 4)),
    revocationDeadlineMs: options.revocationDeadlineMs ?? Math.min(10_000, Math.floor(sessionTimeoutMs / 2)),
    commitIntervalMs: options.commitIntervalMs ?? 500,
    maxTrackedOffsets: options.maxTrackedOffsets ?? 10_000,
    maxBytesAtHand: options.maxBytesAtHand ?? 16_777_216,
    metadataMaxAgeMs: options.metadataMaxAgeMs ?? 15_000,
    stalledAfterMs: options.stalledAfterMs ?? 60_000,
    topologyTopic: options.topologyTopic ?? 'melange.topology',
  };
  if (settings.brokers.length === 0)
    throw new MelangeError('CONFIGURATION', 'Name at least one broker in `brokers`.');
  for (const name of [
    'partitions',
    'maxTrackedOffsets',
    'maxBytesAtHand',
    'connectTimeoutMs',
    'requestTimeoutMs',
    'publishTimeoutMs',
    'sessionTimeoutMs',
    'heartbeatIntervalMs',
    'revocationDeadlineMs',
    'commitIntervalMs',
    'metadataMaxAgeMs',
    'stalledAfterMs',
  ] as const)
    checkWholeNumber(name, settings[name], 1);
  if (replicationFactor !== undefined) checkWholeNumber('replicationFactor', replicationFactor, 1);
  if (settings.revocationDeadlineMs >= sessionTimeoutMs)
    throw new MelangeError('CONFIGURATION', 'revocationDeadlineMs must be below sessionTimeoutMs.');
  if (settings.heartbeatIntervalMs >= sessionTimeoutMs)
    throw new MelangeError('CONFIGURATION', 'heartbeatIntervalMs must be below sessionTimeoutMs.');
  return settings;
}
