/** What NATS JetStream can do, as this adapter uses it, on servers from 2.9. */
export const natsCapabilities = {
  delayedDelivery: true,
  orderingByKey: false,
  ordered: true,
  // The publisher applies them, by the bindings that it reads from the broker.
  brokerSideFilters: false,
  replay: false,
  browse: false,
  queuesKeepTopicMessages: true,
  tombstones: true,
  durable: true,
  releaseKeepsAttempt: true,
  deliveriesOutliveConnections: true,
  // Messages that wait for their delay, or were given back, count as in flight.
  exactDepth: false,
  // The broker takes any acknowledgement of a message that is in flight, whoever holds it by now.
  fencedSettlements: false,
  tellsRedeliveries: true,
  // 1 MiB is the default of the server's `max_payload`, headers included.
  maxMessageBytes: 1_000_000,
} as const;
