import {
  type Delivery,
  type ErrorTrace,
  MelangeError,
  type Outcome,
  type ProcessTrace,
  type ReceiveTrace,
  type SettleTrace,
} from '@melange/core';
import { type Ended, hasFailed, systemOf, type TraceHandlers } from '@melange/metrics/instruments';
import {
  type Attributes,
  context as activeContext,
  type Context,
  type Span,
  type SpanContext,
  SpanKind,
  type Tracer,
  trace as tracing,
} from '@opentelemetry/api';
import { Attribute } from '../names.ts';
import { thrownIn } from '../trace-facts.ts';
import { contextOf, validSpanContext } from './creation-context.ts';
import { attributesOfMessage } from './publish-spans.ts';
import { setError } from './span-error.ts';

/** What the spans of deliveries are made with. */
export interface DeliverySpansOptions {
  /** As of now: the provider may change. */
  readonly tracer: () => Tracer;
  /** Runs are children of the span that published, not linked to it. */
  readonly areChildren: boolean;
  readonly receiveSpans: boolean;
  readonly settleSpans: boolean;
  /** Also the attributes of version 1.24 of the conventions. */
  readonly writesOldNames: boolean;
}

/** A run that is over; its span stays open until the outcome of the message is known. */
interface EndedRun {
  readonly span: Span;
  readonly at: number;
}

/** One delivery under way. */
interface OpenDelivery {
  readonly trace: ReceiveTrace;
  readonly startedAt: number;
  readonly receiveSpan: Span | undefined;
  /** What the message carries; read when it is needed first. */
  carried: Context | undefined;
  runs: EndedRun[] | undefined;
  /** The last error that was reported of it. */
  error: unknown;
}

/**
 * A `process` span for each run of a consumer. It lasts as long as the run, and is given to the exporter when the message is
 * settled: only then is it known whether it will be retried or dead-lettered.
 */
export class DeliverySpans {
  readonly #options: DeliverySpansOptions;
  // Each entry goes when its work ends. A WeakMap would cost the garbage collector more than all else here.
  readonly #deliveries = new Map<Delivery, OpenDelivery>();
  readonly #runs = new Map<ProcessTrace, Span>();
  readonly #settlements = new Map<SettleTrace, Span>();

  constructor(options: DeliverySpansOptions) {
    this.#options = options;
  }

  /** Of the channel `melange.receive`. */
  readonly receive: TraceHandlers<ReceiveTrace> = {
    start: (trace) => {
      const open: OpenDelivery = {
        trace,
        startedAt: performance.now(),
        receiveSpan: undefined,
        carried: undefined,
        runs: undefined,
        error: undefined,
      };
      this.#deliveries.set(trace.delivery, open);
      if (!this.#options.receiveSpans) return;
      const span = this.#startSpan(open, 'receive', 'receive', SpanKind.CLIENT, {}, this.#parentOf(open));
      this.#deliveries.set(trace.delivery, { ...open, receiveSpan: span });
    },
    end: (trace) => {
      const open = this.#deliveries.get(trace.delivery);
      if (open === undefined) return;
      this.#deliveries.delete(trace.delivery);
      this.#endAll(open, trace);
    },
  };

  /** Of the channel `melange.process`. */
  readonly process: TraceHandlers<ProcessTrace> = {
    start: (trace) => {
      const open = this.#deliveries.get(trace.delivery);
      // The instrumentation was enabled in the middle of this delivery.
      if (open === undefined) return;
      const parent = this.#parentOf(open);
      const span = this.#startRun(open, trace, parent);
      this.#runs.set(trace, span);
      const context = tracing.setSpan(parent, span);
      const inner = trace.around;
      trace.around = (work) =>
        activeContext.with(context, () => (inner === undefined ? work() : inner(work)));
    },
    end: (trace) => {
      const span = this.#runs.get(trace);
      if (span === undefined) return;
      this.#runs.delete(trace);
      if (hasFailed(trace)) thrownIn(trace.error, span.spanContext());
      if (!span.isRecording()) return;
      const at = performance.now();
      if (hasFailed(trace) && !isNoFailure(trace.error)) setError(span, trace.error);
      const open = this.#deliveries.get(trace.delivery);
      if (open === undefined) span.end(at);
      else keep(open, span, at);
    },
  };

  /** Of the channel `melange.settle`. */
  readonly settle: TraceHandlers<SettleTrace> = {
    start: (trace) => {
      const open = this.#deliveries.get(trace.delivery);
      if (open === undefined || !this.#options.settleSpans) return;
      const run = open.runs?.at(-1)?.span ?? open.receiveSpan;
      const parent = run === undefined ? this.#parentOf(open) : tracing.setSpan(this.#parentOf(open), run);
      const span = this.#startSpan(open, trace.outcome, 'settle', SpanKind.CLIENT, {}, parent);
      this.#settlements.set(trace, span);
    },
    end: (trace) => {
      const span = this.#settlements.get(trace);
      if (span === undefined) return;
      this.#settlements.delete(trace);
      if (hasFailed(trace)) setError(span, trace.error);
      span.end();
    },
  };

  /** Of the channel `melange.duplicate`: a run that was spared is a span without length. */
  readonly duplicate = (trace: ProcessTrace): void => {
    const open = this.#deliveries.get(trace.delivery);
    if (open === undefined) return;
    const span = this.#startRun(open, trace, this.#parentOf(open));
    span.setAttribute(Attribute.deduplicated, true);
    if (span.isRecording()) keep(open, span, performance.now());
  };

  /** Of the channel `melange.error`. */
  readonly error = ({ delivery, error }: ErrorTrace): void => {
    const open = delivery && this.#deliveries.get(delivery);
    if (open !== undefined) open.error = error;
  };

  #endAll(open: OpenDelivery, trace: ReceiveTrace & Ended): void {
    const outcome = hasFailed(trace) ? undefined : (trace.result as Outcome);
    if (open.runs === undefined && open.receiveSpan === undefined && isNoTrouble(outcome)) return;
    const attributes = attributesOf(outcome);
    if (open.runs === undefined && !isNoTrouble(outcome)) {
      // Nobody ran it: it could not be read, nobody wanted it, or it ended its process before.
      const span = this.#startSpan(
        open,
        'process',
        'process',
        SpanKind.CONSUMER,
        attributes,
        this.#parentOf(open),
        open.startedAt,
      );
      if (open.error !== undefined) setError(span, open.error);
      span.end();
    }
    const unsettled = hasFailed(trace) ? trace.error : undefined;
    for (const { span, at } of open.runs ?? []) {
      span.setAttributes(attributes);
      if (unsettled !== undefined)
        span.recordException(unsettled instanceof Error ? unsettled : String(unsettled));
      span.end(at);
    }
    const { receiveSpan } = open;
    if (receiveSpan === undefined) return;
    receiveSpan.setAttributes(attributes);
    if (unsettled !== undefined) setError(receiveSpan, unsettled);
    receiveSpan.end();
  }

  #startRun(open: OpenDelivery, { consumer }: ProcessTrace, parent: Context): Span {
    return this.#startSpan(
      open,
      'process',
      'process',
      SpanKind.CONSUMER,
      { [Attribute.consumer]: consumer },
      parent,
    );
  }

  #startSpan(
    open: OpenDelivery,
    name: string,
    type: string,
    kind: SpanKind,
    more: Attributes,
    parent: Context,
    startTime?: number,
  ): Span {
    const { backend, queue, message, attempt, delivery } = open.trace;
    const { areChildren, tracer, writesOldNames } = this.#options;
    const attributes: Attributes = {
      [Attribute.system]: systemOf(backend),
      [Attribute.operationName]: name,
      [Attribute.operationType]: type,
      [Attribute.destination]: queue,
      [Attribute.attempt]: attempt,
      ...attributesOfMessage(message),
      ...more,
    };
    if (backend === 'kafka') attributes[Attribute.consumerGroup] = queue;
    if (delivery.redeliveries) attributes[Attribute.redeliveries] = delivery.redeliveries;
    if (writesOldNames) attributes[Attribute.oldOperation] = type;
    const creation = areChildren ? undefined : this.#creationOf(open);
    const links = creation === undefined ? [] : [{ context: creation }];
    return tracer().startSpan(
      `${name} ${queue}`,
      { kind, attributes, links, ...(startTime !== undefined && { startTime }) },
      parent,
    );
  }

  #carriedBy(open: OpenDelivery): Context {
    open.carried ??= contextOf(open.trace.message);
    return open.carried;
  }

  #creationOf(open: OpenDelivery): SpanContext | undefined {
    return validSpanContext(this.#carriedBy(open));
  }

  /** Baggage of the message, and its span where runs are children. Never the context that the queue is consumed in. */
  #parentOf(open: OpenDelivery): Context {
    const carried = this.#carriedBy(open);
    if (open.receiveSpan !== undefined) return tracing.setSpan(carried, open.receiveSpan);
    return this.#options.areChildren ? carried : tracing.deleteSpan(carried);
  }
}

function keep(open: OpenDelivery, span: Span, at: number): void {
  open.runs ??= [];
  open.runs.push({ span, at });
}

/** A handler that asks to be called later did not fail. */
function isNoFailure(error: unknown): boolean {
  return MelangeError.is(error, 'RETRY_LATER');
}

/** Whether a message that nobody ran ended as it should. */
function isNoTrouble(outcome: Outcome | undefined): boolean {
  if (outcome === undefined) return false;
  if (outcome.kind === 'acknowledge')
    return outcome.because === 'processed' || outcome.because === 'always-ack';
  return outcome.kind === 'release' || outcome.kind === 'acknowledged-early';
}

function attributesOf(outcome: Outcome | undefined): Attributes {
  if (outcome === undefined) return { [Attribute.outcome]: 'unsettled' };
  const attributes: Attributes = { [Attribute.outcome]: outcome.kind };
  if (outcome.kind === 'acknowledge' || outcome.kind === 'retry')
    attributes[Attribute.outcomeCause] = outcome.because;
  if (outcome.kind === 'retry') attributes[Attribute.retryDelay] = outcome.delayMs;
  if (outcome.kind === 'dead-letter') attributes[Attribute.deadLetterReason] = outcome.reason;
  return attributes;
}
