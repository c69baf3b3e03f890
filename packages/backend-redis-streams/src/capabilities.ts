/** What Redis Streams can do, as this adapter uses them. The size is ours: Redis keeps everything in memory. */
export const redisStreamsCapabilities: {
  readonly delayedDelivery: true;
  readonly orderingByKey: false;
  readonly ordered: true;
  readonly brokerSideFilters: true;
  readonly replay: false;
  readonly queuesKeepTopicMessages: true;
  readonly tombstones: true;
  readonly durable: true;
  readonly releaseKeepsAttempt: true;
  readonly deliveriesOutliveConnections: true;
  readonly exactDepth: true;
  readonly fencedSettlements: true;
  readonly tellsRedeliveries: true;
  readonly maxMessageBytes: number;
} = {
  delayedDelivery: true,
  orderingByKey: false,
  ordered: true,
  brokerSideFilters: true,
  replay: false,
  queuesKeepTopicMessages: true,
  tombstones: true,
  durable: true,
  releaseKeepsAttempt: true,
  deliveriesOutliveConnections: true,
  exactDepth: true,
  fencedSettlements: true,
  tellsRedeliveries: true,
  maxMessageBytes: 16_777_216,
};
