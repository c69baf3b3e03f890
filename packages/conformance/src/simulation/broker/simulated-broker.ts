import type { BackendOptions, Fault } from '@melange/backend-kit';
import type { Capabilities } from '@melange/core';
import { AnswerLost, type Network } from './network.ts';
import { Missing, type QueueStore } from './queue-store.ts';

/** Where a simulated backend finds its broker, and how. */
export interface SimulatedBroker extends BackendOptions {
  readonly store: QueueStore;
  readonly network: Network;
  readonly deadLetterQueue: string | undefined;
}

/** What simulated brokers can do, where a family says nothing else. */
export const simulatedCapabilities: Capabilities & { readonly delayedDelivery: true } = {
  delayedDelivery: true,
  orderingByKey: false,
  ordered: true,
  brokerSideFilters: true,
  replay: false,
  browse: false,
  queuesKeepTopicMessages: true,
  tombstones: true,
  durable: true,
  releaseKeepsAttempt: true,
  deliveriesOutliveConnections: true,
  exactDepth: true,
  fencedSettlements: true,
  tellsRedeliveries: true,
  maxMessageBytes: undefined,
};

/** What an error of a simulated broker means. */
export function explain(error: unknown): Fault {
  if (error instanceof Missing) return { kind: 'missing' };
  if (error instanceof AnswerLost) return { kind: 'unavailable', reason: error.message };
  throw error;
}
