import { isSpanContextValid, type SpanContext, trace } from '@opentelemetry/api';

/** The run in which an error was thrown: the dispatcher logs it when the run is over. */
const runs = new WeakMap<object, SpanContext>();

/** Remembers where an error was thrown. */
export function thrownIn(error: unknown, span: SpanContext): void {
  if (typeof error === 'object' && error !== null) runs.set(error, span);
}

/**
 * The ids of the active span, for log lines: `traceId` and `spanId`, or nothing outside of any. For a line with an `error` that
 * a consumer threw, such as the dispatcher's own, those of the run that threw it. To be passed as `facts` to the loggers of `@melange/logging`.
 */
export function traceFacts(facts: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, string>> {
  const { error } = facts;
  const thrown = typeof error === 'object' && error !== null ? runs.get(error) : undefined;
  const span = trace.getActiveSpan()?.spanContext() ?? thrown;
  if (span === undefined || !isSpanContextValid(span)) return {};
  return { traceId: span.traceId, spanId: span.spanId };
}
