import {
  DeliveryAbortedError,
  type ErrorTrace,
  type Outcome,
  type ProcessTrace,
  type PublishTrace,
  type ReceiveTrace,
} from '@melange/core';
import type { Attributes } from '@opentelemetry/api';
import { Attribute, errorTypeOf, systemOf } from '../names.ts';
import { hasFailed, type TraceHandlers } from '../subscribe.ts';
import type { Instruments } from './instruments.ts';

/** What is counted and measured of messages. No attribute is an id, a key or a text of the application. */
export class MessageMetrics {
  readonly #instruments: Instruments;
  readonly #startedAt = new Map<object, number>();
  readonly #systems = new Map<object, string>();

  constructor(instruments: Instruments) {
    this.#instruments = instruments;
  }

  /** Of the channel `melange.publish`. */
  readonly publish: TraceHandlers<PublishTrace> = {
    start: (trace) => void this.#startedAt.set(trace, performance.now()),
    end: (trace) => {
      const attributes: Attributes = {
        [Attribute.system]: systemOf(trace.backend, trace.kind),
        [Attribute.operationName]: 'publish',
        [Attribute.operationType]: 'send',
        [Attribute.destination]: trace.destination,
      };
      if (hasFailed(trace)) attributes[Attribute.errorType] = errorTypeOf(trace.error);
      this.#instruments.operationDuration.record(this.#secondsOf(trace), attributes);
      this.#instruments.sent.add(trace.messages.length, attributes);
    },
  };

  /** Of the channel `melange.receive`. */
  readonly receive: TraceHandlers<ReceiveTrace> = {
    start: ({ backend, queue, message, attempt, delivery }) => {
      const system = systemOf(backend);
      this.#systems.set(delivery, system);
      const attributes = { ...ofQueue(system, queue), [Attribute.operationName]: 'receive' };
      this.#instruments.consumed.add(1, attributes);
      // Later attempts waited on purpose; clocks of two machines may differ.
      if (attempt !== 1 || message.publishedAt === undefined) return;
      const waited = Math.max(0, Date.now() - message.publishedAt) / 1_000;
      this.#instruments.criticalTime.record(waited, ofQueue(system, queue));
    },
    end: (trace) => {
      const { delivery, queue, backend } = trace;
      const attributes = ofQueue(systemOf(backend), queue);
      this.#systems.delete(delivery);
      const isLost = (delivery.isAborted ?? delivery.signal.aborted) && isLeaseLost(delivery.signal.reason);
      if (isLost) this.#instruments.leaseLosses.add(1, { ...attributes, [Attribute.leaseOf]: 'delivery' });
      if (!hasFailed(trace)) this.#count(trace.result as Outcome, attributes);
    },
  };

  /** Of the channel `melange.process`. */
  readonly process: TraceHandlers<ProcessTrace> = {
    start: (trace) => void this.#startedAt.set(trace, performance.now()),
    end: (trace) => {
      const attributes: Attributes = { ...this.#ofRun(trace), [Attribute.operationName]: 'process' };
      if (hasFailed(trace)) attributes[Attribute.errorType] = errorTypeOf(trace.error);
      this.#instruments.processDuration.record(this.#secondsOf(trace), attributes);
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

  #count(outcome: Outcome, attributes: Attributes): void {
    const { retries, deadLetters, undecodable, unhandled } = this.#instruments;
    const cause = outcome.kind === 'acknowledge' ? outcome.because : undefined;
    if (outcome.kind === 'retry') {
      retries.add(1, { ...attributes, [Attribute.outcomeCause]: outcome.because });
    }
    const reason = outcome.kind === 'dead-letter' ? outcome.reason : cause;
    if (outcome.kind === 'dead-letter') {
      deadLetters.add(1, { ...attributes, [Attribute.deadLetterReason]: outcome.reason });
    }
    if (reason === 'undecodable') undecodable.add(1, attributes);
    if (reason === 'unhandled') unhandled.add(1, attributes);
  }

  #ofRun({ delivery, queue, consumer }: ProcessTrace): Attributes {
    return { ...ofQueue(this.#systems.get(delivery), queue), [Attribute.consumer]: consumer };
  }

  #secondsOf(trace: object): number {
    const now = performance.now();
    const startedAt = this.#startedAt.get(trace) ?? now;
    this.#startedAt.delete(trace);
    return (now - startedAt) / 1_000;
  }
}

function ofQueue(system: string | undefined, queue: string): Attributes {
  return { ...(system !== undefined && { [Attribute.system]: system }), [Attribute.destination]: queue };
}

function isLeaseLost(error: unknown): boolean {
  return error instanceof DeliveryAbortedError && error.reason === 'lease-lost';
}
