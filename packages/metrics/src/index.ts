/**
 * Metrics of Melange without OpenTelemetry: `metricsText` for Prometheus, `queueLoads` for autoscalers.
 *
 * @packageDocumentation
 */
export { type MetricDefinition, type MetricKey, metricDefinitions, prometheusName } from './definitions.ts';
export { type MetricsTextOptions, metricsContentType, metricsText, recordMetrics } from './metrics-text.ts';
export type { QueueDepthsOptions } from './queue-depths.ts';
export { type QueueLoad, queueLoads } from './queue-loads.ts';
export type { MeasuredDispatcher, MeasuredService, MetricsSource } from './source.ts';
