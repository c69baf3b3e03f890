/**
 * Traces and metrics of Melange for OpenTelemetry: `MelangeInstrumentation` for `registerInstrumentations` and `NodeSDK`.
 *
 * @packageDocumentation
 */

export { semanticConventionsVersion } from '@melange/metrics/instruments';
export type { MelangeInstrumentationConfig } from './config.ts';
export { MelangeInstrumentation } from './instrumentation.ts';
export { traceFacts } from './trace-facts.ts';
