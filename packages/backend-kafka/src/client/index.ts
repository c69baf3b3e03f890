import type { Logger } from '@melange/core';
import type { KafkaSettings } from '../options.ts';
import type { KafkaClient } from './contract.ts';

export type {
  Commit,
  FetchedPartition,
  FetchRequest,
  GroupPlace,
  GroupSession,
  IncomingRecord,
  JoinAnswer,
  JoinRequest,
  KafkaClient,
  MemberBytes,
  OutgoingBatch,
  OutgoingRecord,
  PartitionRange,
} from './contract.ts';

/** What a client may tell. */
export interface ClientWatch {
  /** Never throws. */
  readonly logger: Logger;
  /** The library is not as the client knows it: it works, but slower, for this reason. */
  onSlow(reason: string): void;
}

/** Makes a client. Must not connect. */
export type MakeKafkaClient = (settings: KafkaSettings, watch: ClientWatch) => KafkaClient;
