/** What Redis Streams can do, as this adapter uses them. The size is ours: Redis keeps everything in memory. */
export const redisStreamsCapabilities = {
  delayedDelivery: true,
  orderingByKey: false,
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
  maxMessageBytes: 16_777_216 as number,
} as const;
