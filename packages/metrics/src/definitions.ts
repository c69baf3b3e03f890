import type { MessageInstruments } from './message-metrics.ts';

/** What a metric is. */
export interface MetricDefinition {
  /** Its name, as OpenTelemetry writes it. */
  readonly name: string;
  /** How its values come about. */
  readonly kind: 'counter' | 'histogram' | 'gauge';
  /** As UCUM writes it. What is in braces is an annotation. */
  readonly unit: string;
  /** What it says, in one sentence. */
  readonly description: string;
  /** Upper bounds of a histogram's buckets. */
  readonly boundaries?: readonly number[];
}

/** Boundaries, in seconds, that the semantic conventions ask for. */
const boundaries = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];
/** Messages may wait for long: up to a day, in seconds. */
const waits = [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3_600, 21_600, 86_400];

/** A metric, by the name of its property. */
export type MetricKey = keyof MessageInstruments | 'inFlight' | 'depth' | 'health';

/** Every metric. Names of `messaging.` are the conventions', those of `melange.` Melange's own. */
export const metricDefinitions: Readonly<Record<MetricKey, MetricDefinition>> = {
  operationDuration: seconds(
    'messaging.client.operation.duration',
    'Time that publishing takes, to the confirmation.',
  ),
  sent: messages(
    'messaging.client.sent.messages',
    'Messages that were given to the broker, or could not be.',
  ),
  consumed: messages('messaging.client.consumed.messages', 'Deliveries that were handed to the dispatcher.'),
  processDuration: seconds('messaging.process.duration', "Time of a consumer's run."),
  criticalTime: seconds('melange.critical_time', 'Time from publication to the start of a delivery.', waits),
  retries: messages('melange.retries', 'Messages that will come again.'),
  deadLetters: messages('melange.dead_letters', 'Messages moved to a dead-letter queue.'),
  duplicates: messages('melange.duplicates', 'Runs spared because the cache knew them to be done.'),
  undecodable: messages('melange.undecodable', 'Messages whose content no serializer could read.'),
  unhandled: messages('melange.unhandled', 'Messages that no consumer accepted.'),
  leaseLosses: messages('melange.lease.losses', 'Deliveries, and claims of consumers, that were lost.'),
  reconnects: {
    name: 'melange.reconnects',
    kind: 'counter',
    unit: '{connection}',
    description: 'Connections to a broker that were lost and made again.',
  },
  inFlight: gauge('melange.queue.in_flight', 'Messages that this process received and did not settle yet.'),
  depth: gauge('melange.queue.depth', 'Messages waiting in a consumed queue, of all processes.'),
  health: gauge(
    'melange.health',
    '0 healthy, 1 degraded, 2 unhealthy: the worst of what consumes the queue.',
    '{status}',
  ),
};

/** The name that Prometheus knows a metric by: as its own receiver of OTLP and OpenTelemetry's collector write it. */
export function prometheusName({ name, kind, unit }: MetricDefinition): string {
  const words = name.replaceAll(/[^a-zA-Z0-9]+/g, '_');
  return `${words}${unit === 's' ? '_seconds' : ''}${kind === 'counter' ? '_total' : ''}`;
}

function seconds(name: string, description: string, bounds = boundaries): MetricDefinition {
  return { name, kind: 'histogram', unit: 's', description, boundaries: bounds };
}

function messages(name: string, description: string): MetricDefinition {
  return { name, kind: 'counter', unit: '{message}', description };
}

function gauge(name: string, description: string, unit = '{message}'): MetricDefinition {
  return { name, kind: 'gauge', unit, description };
}
