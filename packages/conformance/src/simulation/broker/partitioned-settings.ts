import type { BackendOptions } from '@melange/backend-kit';
import type { ConsumerGroup } from './consumer-group.ts';
import type { Network } from './network.ts';
import type { PartitionLog } from './partition-log.ts';

/** Where the backend of a partitioned broker finds it. */
export interface PartitionedBroker extends BackendOptions {
  readonly log: PartitionLog;
  readonly group: ConsumerGroup;
  readonly network: Network;
  readonly deadLetterQueue: string | undefined;
  /** Gets the way to break the connections of this backend. */
  readonly onConnections: (connections: { cut(): void }) => void;
}
