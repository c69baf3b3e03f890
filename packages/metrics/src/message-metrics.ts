import {
  DeliveryAbortedError,
  type ErrorTrace,
  type Outcome,
  type ProcessTrace,
  type PublishTrace,
  type ReceiveTrace,
  type ReconnectEvent,
} from '@melange/core';
import { hasFailed, type TraceHandlers } from './channels.ts';
import { MetricAttribute as Attribute, errorTypeOf, systemOf } from './names.ts';

/** Attributes of one value. None is an id, a key or a text of the application. */
export type Labels = Readonly<Record<string, string>>;

/** Counts up. */
export interface Counting {
  /** @param value 0 makes the series known before anything is counted. */
  add(value: number, labels: Labels): void;
}

/** Keeps a distribution. */
export interface Measuring {
  /** @param value in seconds. */
  record(value: number, labels: Labels): void;
}

/** Where `MessageMetrics` counts and measures. OpenTelemetry's instruments fit. */
export interface MessageInstruments {
  /** Time that publishing takes, to the confirmation. */
  readonly operationDuration: Measuring;
  /** Messages that were given to the broker, or could not be. */
  readonly sent: Counting;
  /** Deliveries that were handed to the dispatcher. */
  readonly consumed: Counting;
  /** Time of a consumer's run. */
  readonly processDuration: Measuring;
  /** Time from publication to the start of a delivery. */
  readonly criticalTime: Measuring;
  /** Messages that will come again. */
  readonly retries: Counting;
  /** Messages moved to a dead-letter queue. */
  readonly deadLetters: Counting;
  /** Runs spared because the cache knew them to be done. */
  readonly duplicates: Counting;
  /** Messages whose content no serializer could read. */
  readonly undecodable: Counting;
  /** Messages that no consumer accepted. */
  readonly unhandled: Counting;
  /** Deliveries, and claims of consumers, that were lost. */
  readonly leaseLosses: Counting;
  /** Connections to a broker that were lost and made again. */
  readonly reconnects: Counting;
}

const causesOfRetries = ['failed', 'deferred', 'not-run'] as const;
const reasonsOfDeadLetters = [
  'attempts exhausted',
  'rejected',
  'unhandled',
  'undecodable',
  'crashed',
] as const;

/** What is counted and measured of messages. */
export class MessageMetrics {
  readonly #instruments: MessageInstruments;
  readonly #startedAt = new Map<object, number>();
  readonly #systems = new Map<object, string>();

  constructor(instruments: MessageInstruments) {
    this.#instruments = instruments;
  }

  /**
   * A queue that is consumed: its counters begin at 0. Otherwise the first dead letter of a process would be the first value
   * of its series, and no increase.
   */
  begin(system: string, queue: string): void {
    const { consumed, retries, deadLetters, undecodable, unhandled } = this.#instruments;
    const labels = ofQueue(system, queue);
    consumed.add(0, { ...labels, [Attribute.operationName]: 'receive' });
    undecodable.add(0, labels);
    unhandled.add(0, labels);
    for (const cause of causesOfRetries) retries.add(0, { ...labels, [Attribute.outcomeCause]: cause });
    for (const reason of reasonsOfDeadLetters)
      deadLetters.add(0, { ...labels, [Attribute.deadLetterReason]: reason });
  }

  /** Of the channel `melange.publish`. */
  readonly publish: TraceHandlers<PublishTrace> = {
    start: (trace) => void this.#startedAt.set(trace, performance.now()),
    end: (trace) => {
      const labels: Record<string, string> = {
        [Attribute.system]: systemOf(trace.backend, trace.kind),
        [Attribute.operationName]: 'publish',
        [Attribute.operationType]: 'send',
        [Attribute.destination]: trace.destination,
      };
      if (hasFailed(trace)) labels[Attribute.errorType] = errorTypeOf(trace.error);
      this.#instruments.operationDuration.record(this.#secondsOf(trace), labels);
      this.#instruments.sent.add(trace.messages.length, labels);
    },
  };

  /** Of the channel `melange.receive`. */
  readonly receive: TraceHandlers<ReceiveTrace> = {
    start: ({ backend, queue, message, attempt, delivery }) => {
      const system = systemOf(backend);
      this.#systems.set(delivery, system);
      this.#instruments.consumed.add(1, {
        ...ofQueue(system, queue),
        [Attribute.operationName]: 'receive',
      });
      // Later attempts waited on purpose; clocks of two machines may differ.
      if (attempt !== 1 || message.publishedAt === undefined) return;
      const waited = Math.max(0, Date.now() - message.publishedAt) / 1_000;
      this.#instruments.criticalTime.record(waited, ofQueue(system, queue));
    },
    end: (trace) => {
      const { delivery, queue, backend } = trace;
      const labels = ofQueue(systemOf(backend), queue);
      this.#systems.delete(delivery);
      const isLost = (delivery.isAborted ?? delivery.signal.aborted) && isLeaseLost(delivery.signal.reason);
      if (isLost) this.#instruments.leaseLosses.add(1, { ...labels, [Attribute.leaseOf]: 'delivery' });
      if (!hasFailed(trace)) this.#count(trace.result as Outcome, labels);
    },
  };

  /** Of the channel `melange.process`. */
  readonly process: TraceHandlers<ProcessTrace> = {
    start: (trace) => void this.#startedAt.set(trace, performance.now()),
    end: (trace) => {
      const labels: Record<string, string> = { ...this.#ofRun(trace), [Attribute.operationName]: 'process' };
      if (hasFailed(trace)) labels[Attribute.errorType] = errorTypeOf(trace.error);
      this.#instruments.processDuration.record(this.#secondsOf(trace), labels);
    },
  };

  /** Of the channel `melange.duplicate`. */
  readonly duplicate = (trace: ProcessTrace): void => {
    this.#instruments.duplicates.add(1, this.#ofRun(trace));
  };

  /** Of the channel `melange.error`: claims that were lost are told nowhere else. */
  readonly error = ({ queue, error, delivery }: ErrorTrace): void => {
    if (delivery === undefined || !isLeaseLost(error)) return;
    // Counted when the delivery ends.
    if (delivery.isAborted ?? delivery.signal.aborted) return;
    const system = this.#systems.get(delivery);
    this.#instruments.leaseLosses.add(1, { ...ofQueue(system, queue), [Attribute.leaseOf]: 'claim' });
  };

  /** Of the channel `melange.reconnect`. */
  readonly reconnect = ({ backend }: ReconnectEvent): void => {
    this.#instruments.reconnects.add(1, { [Attribute.system]: systemOf(backend) });
  };

  #count(outcome: Outcome, labels: Labels): void {
    const { retries, deadLetters, undecodable, unhandled } = this.#instruments;
    const cause = outcome.kind === 'acknowledge' ? outcome.because : undefined;
    if (outcome.kind === 'retry') retries.add(1, { ...labels, [Attribute.outcomeCause]: outcome.because });
    const reason = outcome.kind === 'dead-letter' ? outcome.reason : cause;
    if (outcome.kind === 'dead-letter') {
      deadLetters.add(1, { ...labels, [Attribute.deadLetterReason]: outcome.reason });
    }
    if (reason === 'undecodable') undecodable.add(1, labels);
    if (reason === 'unhandled') unhandled.add(1, labels);
  }

  #ofRun({ delivery, queue, consumer }: ProcessTrace): Labels {
    return { ...ofQueue(this.#systems.get(delivery), queue), [Attribute.consumer]: consumer };
  }

  #secondsOf(trace: object): number {
    const now = performance.now();
    const startedAt = this.#startedAt.get(trace) ?? now;
    this.#startedAt.delete(trace);
    return (now - startedAt) / 1_000;
  }
}

function ofQueue(system: string | undefined, queue: string): Labels {
  return { ...(system !== undefined && { [Attribute.system]: system }), [Attribute.destination]: queue };
}

function isLeaseLost(error: unknown): boolean {
  return error instanceof DeliveryAbortedError && error.reason === 'lease-lost';
}
