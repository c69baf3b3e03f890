import type { Logger } from '@melange/core';
import type { KafkaSettings } from '../options.ts';
import type { KafkaClient } from './contract.ts';

export type {
  Commit,
  GroupListener,
  GroupMember,
  IncomingRecord,
  KafkaClient,
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
