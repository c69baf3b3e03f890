import type { Delivery } from '../contract/backend.ts';
import type { DeliveryAbortedError } from '../errors.ts';
import type { Linked } from './lanes.ts';
import type { Outcome } from './outcome.ts';
import type { Slotted } from './slots.ts';

/** An error of a message that has no log line yet. */
export interface LoggedFailure {
  readonly error: unknown;
  readonly consumer: string | undefined;
}

/** A run of a consumer that can be aborted. */
export interface Abortable {
  /** Only the first reason counts. */
  abort(reason: DeliveryAbortedError): void;
  /** The run is over. */
  end(): void;
}

/** One delivery and its state in this process. A single object, as one is made for every message. */
export class Work implements Slotted, Linked<Work> {
  readonly delivery: Delivery;
  /** The broker's count of attempts, plus those made in this process while the message stayed in its lane. */
  attempt: number;
  /** Redeliveries that make it suspect, see `Suspicion`. */
  redeliveries: number;
  /** Errors of this attempt whose log line waits for its outcome. */
  failures: LoggedFailure[] | undefined = undefined;
  /** Whether it was given back to the broker: it is not settled when its handler ends. */
  released = false;
  /** Ends its wait for the deduplication cache; `undefined` while it does not wait. */
  endWait: (() => void) | undefined = undefined;
  /** The outcome that it was settled by; `undefined` while it is repeated in its lane. */
  settledBy: Outcome | undefined = undefined;
  slot = -1;
  next: Work | undefined = undefined;
  /** Why this attempt was aborted, for the runs of all consumers. */
  #reason: DeliveryAbortedError | undefined;
  /** The present run: consumers run one after the other. */
  #run: Abortable | undefined;

  constructor(delivery: Delivery, redeliveries: number = delivery.redeliveries ?? 0) {
    this.delivery = delivery;
    this.attempt = delivery.attempt;
    this.redeliveries = redeliveries;
  }

  /** Whether the delivery was lost: the broker delivers the message again, perhaps to another process. */
  get isLost(): boolean {
    return this.delivery.isAborted ?? this.delivery.signal.aborted;
  }

  /** Begins the next attempt, which is not aborted. */
  beginAttempt(): void {
    this.#reason = undefined;
  }

  /** Begins the run of a consumer. Returns why it is aborted already, if it is. */
  begin(run: Abortable): DeliveryAbortedError | undefined {
    this.#run?.end();
    this.#run = run;
    return this.#reason;
  }

  /** Aborts this attempt: the present run, and those of the consumers after it. Only the first reason counts. */
  abort(reason: DeliveryAbortedError): void {
    this.#reason ??= reason;
    this.#run?.abort(reason);
    this.endWait?.();
  }

  /** Aborts the present run only. */
  abortRun(reason: DeliveryAbortedError): void {
    this.#run?.abort(reason);
  }
}
