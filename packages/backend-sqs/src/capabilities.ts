/** What SQS and SNS can do. Queues whose names end in `.fifo` order by key besides, and delay nothing. */
export const sqsCapabilities: {
  readonly delayedDelivery: true;
  readonly orderingByKey: false;
  readonly ordered: false;
  readonly brokerSideFilters: true;
  readonly replay: false;
  readonly browse: false;
  readonly queuesKeepTopicMessages: true;
  readonly tombstones: false;
  readonly durable: true;
  readonly releaseKeepsAttempt: false;
  readonly deliveriesOutliveConnections: true;
  readonly exactDepth: false;
  readonly fencedSettlements: false;
  readonly tellsRedeliveries: true;
  readonly maxMessageBytes: number;
} = {
  delayedDelivery: true,
  orderingByKey: false,
  ordered: false,
  brokerSideFilters: true,
  replay: false,
  browse: false,
  queuesKeepTopicMessages: true,
  tombstones: false,
  durable: true,
  releaseKeepsAttempt: false,
  deliveriesOutliveConnections: true,
  exactDepth: false,
  fencedSettlements: false,
  tellsRedeliveries: true,
  maxMessageBytes: 1_048_576,
};
