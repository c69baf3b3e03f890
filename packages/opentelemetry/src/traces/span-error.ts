import { errorTypeOf } from '@melange/metrics/instruments';
import { type Exception, type Span, SpanStatusCode } from '@opentelemetry/api';
import { Attribute } from '../names.ts';

/** Says on the span that its work failed, and by what. */
export function setError(span: Span, error: unknown, at?: number): void {
  const exception: Exception = error instanceof Error ? error : String(error);
  span.recordException(exception, at);
  span.setAttribute(Attribute.errorType, errorTypeOf(error));
  span.setStatus({
    code: SpanStatusCode.ERROR,
    message: error instanceof Error ? error.message : String(error),
  });
}
