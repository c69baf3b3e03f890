/** What Kafka can do, as this adapter uses it. The size is below the brokers' default limit of 1 MiB for a batch. */
export const kafkaCapabilities: {
  readonly delayedDelivery: false;
  readonly orderingByKey: true;
  readonly ordered: true;
  readonly brokerSideFilters: false;
  readonly replay: true;
  readonly browse: false;
  readonly queuesKeepTopicMessages: false;
  readonly tombstones: true;
  readonly durable: true;
  readonly releaseKeepsAttempt: true;
  readonly deliveriesOutliveConnections: true;
  readonly exactDepth: false;
  readonly fencedSettlements: true;
  readonly tellsRedeliveries: false;
  readonly maxMessageBytes: number;
} = {
  delayedDelivery: false,
  orderingByKey: true,
  ordered: true,
  brokerSideFilters: false,
  replay: true,
  browse: false,
  queuesKeepTopicMessages: false,
  tombstones: true,
  durable: true,
  releaseKeepsAttempt: true,
  deliveriesOutliveConnections: true,
  exactDepth: false,
  fencedSettlements: true,
  tellsRedeliveries: false,
  maxMessageBytes: 1_000_000,
};
