import type { Capabilities } from '@melange/core';

/** What publishing through an outbox can do, whatever broker its relay publishes to. */
export const outboxCapabilities: Capabilities & { readonly delayedDelivery: true } = {
  delayedDelivery: true,
  orderingByKey: true,
  ordered: false,
  brokerSideFilters: false,
  replay: false,
  browse: false,
  queuesKeepTopicMessages: false,
  tombstones: true,
  durable: true,
  releaseKeepsAttempt: false,
  deliveriesOutliveConnections: false,
  exactDepth: false,
  fencedSettlements: false,
  tellsRedeliveries: false,
  maxMessageBytes: undefined,
};

/** Type of `outboxCapabilities`. */
export type OutboxCapabilities = typeof outboxCapabilities;
