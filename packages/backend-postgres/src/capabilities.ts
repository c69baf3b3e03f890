/** What Postgres can do, as this adapter uses it. */
export const postgresCapabilities = {
  delayedDelivery: true,
  orderingByKey: true,
  ordered: true,
  brokerSideFilters: true,
  replay: false,
  browse: true,
  queuesKeepTopicMessages: true,
  tombstones: true,
  durable: true,
  releaseKeepsAttempt: true,
  deliveriesOutliveConnections: true,
  exactDepth: true,
  fencedSettlements: true,
  tellsRedeliveries: true,
  // Ours: Postgres takes more, and a large row makes each statement that touches it slow.
  maxMessageBytes: 16_777_216,
} as const;
