import { CorrelationHeader, type Message, type PublishTrace } from '@melange/core';
import { type Ended, hasFailed, systemOf, type TraceHandlers } from '@melange/metrics/instruments';
import {
  type Attributes,
  context as activeContext,
  type Link,
  type Span,
  SpanKind,
  type Tracer,
  trace as tracing,
} from '@opentelemetry/api';
import { Attribute } from '../names.ts';
import { creationOf, withContext } from './creation-context.ts';
import { setError } from './span-error.ts';

/** What the spans of publishing are made with. */
export interface PublishSpansOptions {
  /** As of now: the provider may change. */
  readonly tracer: () => Tracer;
  /** A `create` span for each message of a batch. */
  readonly createSpans: boolean;
  /** Also the attributes of version 1.24 of the conventions. */
  readonly writesOldNames: boolean;
}

/** One span for each call that publishes, and a context in the headers of each message. */
export class PublishSpans implements TraceHandlers<PublishTrace> {
  readonly #options: PublishSpansOptions;
  readonly #open = new Map<PublishTrace, Span>();

  constructor(options: PublishSpansOptions) {
    this.#options = options;
  }

  /** Of the channel `melange.publish`. */
  readonly start = (trace: PublishTrace): void => {
    if (trace.messages.length === 0) return;
    const span = trace.messages.length === 1 ? this.#single(trace) : this.#batch(trace);
    this.#open.set(trace, span);
    const inner = trace.around;
    const context = tracing.setSpan(activeContext.active(), span);
    trace.around = (work) => activeContext.with(context, () => (inner === undefined ? work() : inner(work)));
  };

  /** Of the channel `melange.publish`. */
  readonly end = (trace: PublishTrace & Ended): void => {
    const span = this.#open.get(trace);
    if (span === undefined) return;
    this.#open.delete(trace);
    if (hasFailed(trace)) setError(span, trace.error);
    span.end();
  };

  #single(trace: PublishTrace): Span {
    const message = trace.messages[0] as Message;
    const own = creationOf(message);
    const active = activeContext.active();
    const attributes = { ...this.#attributesOf(trace, 'publish', 'send'), ...attributesOfMessage(message) };
    const span = this.#options.tracer().startSpan(
      `publish ${trace.destination}`,
      // The span whose context the message carries is the producer.
      { kind: own === undefined ? SpanKind.PRODUCER : SpanKind.CLIENT, attributes, links: linksTo(own) },
      active,
    );
    if (own === undefined) trace.messages[0] = withContext(message, tracing.setSpan(active, span));
    return span;
  }

  #batch(trace: PublishTrace): Span {
    const { messages, destination } = trace;
    const active = activeContext.active();
    const tracer = this.#options.tracer();
    const links: Link[] = [];
    const without: number[] = [];
    messages.forEach((message, index) => {
      const own = creationOf(message);
      if (own !== undefined) links.push({ context: own, attributes: attributesOfMessage(message) });
      else if (this.#options.createSpans) {
        const attributes = {
          ...this.#attributesOf(trace, 'create', 'create'),
          ...attributesOfMessage(message),
        };
        const created = tracer.startSpan(
          `create ${destination}`,
          { kind: SpanKind.PRODUCER, attributes },
          active,
        );
        created.end();
        messages[index] = withContext(message, tracing.setSpan(active, created));
        links.push({ context: created.spanContext(), attributes: attributesOfMessage(message) });
      } else without.push(index);
    });
    const attributes: Attributes = {
      ...this.#attributesOf(trace, 'publish', 'send'),
      [Attribute.batchCount]: messages.length,
    };
    const kind = without.length > 0 ? SpanKind.PRODUCER : SpanKind.CLIENT;
    const span = tracer.startSpan(`publish ${destination}`, { kind, attributes, links }, active);
    const context = tracing.setSpan(active, span);
    for (const index of without) messages[index] = withContext(messages[index] as Message, context);
    return span;
  }

  #attributesOf({ backend, destination, kind }: PublishTrace, name: string, type: string): Attributes {
    const attributes: Attributes = {
      [Attribute.system]: systemOf(backend, kind),
      [Attribute.operationName]: name,
      [Attribute.operationType]: type,
      [Attribute.destination]: destination,
      [Attribute.destinationKind]: kind,
    };
    if (this.#options.writesOldNames) attributes[Attribute.oldOperation] = name;
    return attributes;
  }
}

/** What is said of a single message, wherever it is. */
export function attributesOfMessage({ id, manifest, headers }: Message): Attributes {
  const attributes: Attributes = { [Attribute.messageId]: id };
  if (manifest !== undefined) attributes[Attribute.manifest] = manifest;
  const conversation = headers[CorrelationHeader.correlationId];
  if (conversation !== undefined) attributes[Attribute.conversationId] = conversation;
  return attributes;
}

function linksTo(context: Link['context'] | undefined): Link[] {
  return context === undefined ? [] : [{ context }];
}
