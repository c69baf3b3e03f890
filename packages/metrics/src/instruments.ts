/**
 * What `@melange/metrics` is made of, for those who measure into instruments of their own, as `@melange/opentelemetry` does.
 *
 * @packageDocumentation
 */
export {
  type Ended,
  type Events,
  hasFailed,
  onEvent,
  onTrace,
  type TraceHandlers,
  type Traces,
} from './channels.ts';
export { ConsumedQueues, type Observed } from './consumed-queues.ts';
export { type MetricDefinition, type MetricKey, metricDefinitions, prometheusName } from './definitions.ts';
export { measure } from './measure.ts';
export {
  type Counting,
  type Labels,
  type Measuring,
  type MessageInstruments,
  MessageMetrics,
} from './message-metrics.ts';
export { errorTypeOf, MetricAttribute, semanticConventionsVersion, systemOf } from './names.ts';
export { QueueDepths, type QueueDepthsOptions } from './queue-depths.ts';
