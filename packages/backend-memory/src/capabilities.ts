/** What the memory broker can do. */
export const memoryCapabilities = {
  delayedDelivery: true,
  orderingByKey: true,
  ordered: true,
  brokerSideFilters: true,
  replay: false,
  browse: true,
  queuesKeepTopicMessages: true,
  tombstones: true,
  durable: false,
  releaseKeepsAttempt: true,
  deliveriesOutliveConnections: false,
  exactDepth: true,
  fencedSettlements: true,
  tellsRedeliveries: true,
  maxMessageBytes: undefined,
} as const;
