/**
 * Traces and metrics of Melange for OpenTelemetry: `MelangeInstrumentation` for `registerInstrumentations` and `NodeSDK`.
 *
 * @packageDocumentation
 */
export type { MelangeInstrumentationConfig } from './config.ts';
export { MelangeInstrumentation } from './instrumentation.ts';
export { Metric } from './metrics/instruments.ts';
export { semanticConventionsVersion } from './names.ts';
