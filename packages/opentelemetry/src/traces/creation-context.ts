import type { Message, MessageHeaders } from '@melange/core';
import {
  type Context,
  propagation,
  ROOT_CONTEXT,
  type SpanContext,
  type TextMapGetter,
  type TextMapSetter,
  trace,
} from '@opentelemetry/api';

const getter: TextMapGetter<MessageHeaders> = {
  keys: (headers) => Object.keys(headers),
  get: (headers, name) => (Object.hasOwn(headers, name) ? headers[name] : undefined),
};

const setter: TextMapSetter<Record<string, string>> = {
  set(headers, name, value) {
    headers[name] = value;
  },
};

/** The context that a message carries, by the propagator that the application configured. */
export function contextOf({ headers }: Message): Context {
  return propagation.extract(ROOT_CONTEXT, headers, getter);
}

/** The span that a message carries, if it carries one. */
export function creationOf(message: Message): SpanContext | undefined {
  // Most messages on their way out have no header: nothing to read then.
  for (const _ in message.headers) return validSpanContext(contextOf(message));
  return undefined;
}

/** The span of the context, if it is one that a link may lead to. */
export function validSpanContext(context: Context): SpanContext | undefined {
  const found = trace.getSpanContext(context);
  return found !== undefined && trace.isSpanContextValid(found) ? found : undefined;
}

/** The message with the context in its headers. */
export function withContext(message: Message, context: Context): Message {
  const headers: Record<string, string> = { ...message.headers };
  propagation.inject(context, headers, setter);
  return { ...message, headers };
}
