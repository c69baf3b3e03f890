import {
  type MessageInstruments,
  type MetricDefinition,
  metricDefinitions,
} from '@melange/metrics/instruments';
import type { Counter, Histogram, Meter, ObservableGauge } from '@opentelemetry/api';

/** The instruments of one meter. */
export interface Instruments extends MessageInstruments {
  readonly inFlight: ObservableGauge;
  readonly depth: ObservableGauge;
  readonly health: ObservableGauge;
}

/** Makes the instruments. */
export function instrumentsOf(meter: Meter): Instruments {
  const histogram = ({ name, unit, description, boundaries = [] }: MetricDefinition): Histogram =>
    meter.createHistogram(name, {
      unit,
      description,
      advice: { explicitBucketBoundaries: [...boundaries] },
    });
  const counter = ({ name, unit, description }: MetricDefinition): Counter =>
    meter.createCounter(name, { unit, description });
  const gauge = ({ name, unit, description }: MetricDefinition): ObservableGauge =>
    meter.createObservableGauge(name, { unit, description });
  const definitions = metricDefinitions;
  return {
    operationDuration: histogram(definitions.operationDuration),
    sent: counter(definitions.sent),
    consumed: counter(definitions.consumed),
    processDuration: histogram(definitions.processDuration),
    criticalTime: histogram(definitions.criticalTime),
    retries: counter(definitions.retries),
    deadLetters: counter(definitions.deadLetters),
    duplicates: counter(definitions.duplicates),
    undecodable: counter(definitions.undecodable),
    unhandled: counter(definitions.unhandled),
    leaseLosses: counter(definitions.leaseLosses),
    reconnects: counter(definitions.reconnects),
    inFlight: gauge(definitions.inFlight),
    depth: gauge(definitions.depth),
    health: gauge(definitions.health),
  };
}
