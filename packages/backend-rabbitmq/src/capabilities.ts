/** What RabbitMQ can do. The size is the default limit of RabbitMQ 4; 3.x takes eight times as much. */
export const rabbitMqCapabilities: {
  readonly delayedDelivery: true;
  readonly orderingByKey: false;
  readonly ordered: true;
  readonly brokerSideFilters: true;
  readonly replay: false;
  readonly browse: false;
  readonly queuesKeepTopicMessages: true;
  readonly tombstones: false;
  readonly durable: true;
  readonly releaseKeepsAttempt: true;
  readonly deliveriesOutliveConnections: false;
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
  browse: false,
  queuesKeepTopicMessages: true,
  tombstones: false,
  durable: true,
  releaseKeepsAttempt: true,
  deliveriesOutliveConnections: false,
  exactDepth: true,
  fencedSettlements: true,
  tellsRedeliveries: true,
  maxMessageBytes: 16_777_216,
};
