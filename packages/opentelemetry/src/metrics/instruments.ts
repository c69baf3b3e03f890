import type { Counter, Histogram, Meter, ObservableGauge } from '@opentelemetry/api';

/** Boundaries, in seconds, that the semantic conventions ask for. */
const boundaries = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];
/** Messages may wait for long: up to a day, in seconds. */
const waits = [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3_600, 21_600, 86_400];

/** Names of the metrics. Those of `messaging.` are the conventions', those of `melange.` Melange's own. */
export const Metric = {
  operationDuration: 'messaging.client.operation.duration',
  sent: 'messaging.client.sent.messages',
  consumed: 'messaging.client.consumed.messages',
  processDuration: 'messaging.process.duration',
  criticalTime: 'melange.critical_time',
  retries: 'melange.retries',
  deadLetters: 'melange.dead_letters',
  duplicates: 'melange.duplicates',
  undecodable: 'melange.undecodable',
  unhandled: 'melange.unhandled',
  leaseLosses: 'melange.lease.losses',
  inFlight: 'melange.queue.in_flight',
  depth: 'melange.queue.depth',
  health: 'melange.health',
} as const;

/** The instruments of one meter. */
export interface Instruments {
  readonly operationDuration: Histogram;
  readonly sent: Counter;
  readonly consumed: Counter;
  readonly processDuration: Histogram;
  readonly criticalTime: Histogram;
  readonly retries: Counter;
  readonly deadLetters: Counter;
  readonly duplicates: Counter;
  readonly undecodable: Counter;
  readonly unhandled: Counter;
  readonly leaseLosses: Counter;
  readonly inFlight: ObservableGauge;
  readonly depth: ObservableGauge;
  readonly health: ObservableGauge;
}

/** Makes the instruments. */
export function instrumentsOf(meter: Meter): Instruments {
  const seconds = (name: string, description: string, explicitBucketBoundaries = boundaries): Histogram =>
    meter.createHistogram(name, { unit: 's', description, advice: { explicitBucketBoundaries } });
  const messages = (name: string, description: string): Counter =>
    meter.createCounter(name, { unit: '{message}', description });
  const gauge = (name: string, description: string, unit = '{message}'): ObservableGauge =>
    meter.createObservableGauge(name, { unit, description });
  return {
    operationDuration: seconds(Metric.operationDuration, 'Time that publishing takes, to the confirmation.'),
    sent: messages(Metric.sent, 'Messages that were given to the broker, or could not be.'),
    consumed: messages(Metric.consumed, 'Deliveries that were handed to the dispatcher.'),
    processDuration: seconds(Metric.processDuration, "Time of a consumer's run."),
    criticalTime: seconds(Metric.criticalTime, 'Time from publication to the start of a delivery.', waits),
    retries: messages(Metric.retries, 'Messages that will come again.'),
    deadLetters: messages(Metric.deadLetters, 'Messages moved to a dead-letter queue.'),
    duplicates: messages(Metric.duplicates, 'Runs spared because the cache knew them to be done.'),
    undecodable: messages(Metric.undecodable, 'Messages whose content no serializer could read.'),
    unhandled: messages(Metric.unhandled, 'Messages that no consumer accepted.'),
    leaseLosses: messages(Metric.leaseLosses, 'Deliveries, and claims of consumers, that were lost.'),
    inFlight: gauge(Metric.inFlight, 'Messages that this process received and did not settle yet.'),
    depth: gauge(Metric.depth, 'Messages waiting in a consumed queue, of all processes.'),
    health: gauge(
      Metric.health,
      '0 healthy, 1 degraded, 2 unhealthy: the worst of what consumes the queue.',
      '1',
    ),
  };
}
