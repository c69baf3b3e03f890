import type { Delivery } from '../contract/backend.ts';
import type { DeliveryAbortedError } from '../errors.ts';
import type { Linked } from './lanes.ts';
import type { Outcome } from './outcome.ts';
import type { Slotted } from './slots.ts';

/** An error of a message that has no line yet. */
export interface LoggedFailure {
  readonly error: unknown;
  readonly consumer: string | undefined;
}

/** The run of a consumer, as far as others may end it. */
export interface Abortable {
  /** Only the first reason counts. */
  abort(reason: DeliveryAbortedError): void;
  /** The consumer is done. */
  end(): void;
}

/** One delivery under way. One object with all that is known of it, for one is made for every message. */
export class Work implements Slotted, Linked<Work> {
  readonly delivery: Delivery;
  /** The broker's attempts plus those made here while the message stayed in its lane. */
  attempt: number;
  /** How often it was handed out in vain, as far as that tells anything against it. */
  redeliveries: number;
  /** Errors of this attempt whose log line waits for its outcome. */
  failures: LoggedFailure[] | undefined = undefined;
  /** Given back to the broker: what the handler does now changes nothing there. */
  released = false;
  /** Ends its wait for the deduplication cache, while there is one: nothing is to be said of the message then. */
  endWait: (() => void) | undefined = undefined;
  /** What the broker was told; nothing while it is to be repeated in its lane. */
  settledBy: Outcome | undefined = undefined;
  slot = -1;
  next: Work | undefined = undefined;
  /** Why this attempt was aborted, whichever consumer is at it. */
  #reason: DeliveryAbortedError | undefined;
  /** The run of a consumer that goes on; they go one after the other. */
  #run: Abortable | undefined;

  constructor(delivery: Delivery, redeliveries: number = delivery.redeliveries ?? 0) {
    this.delivery = delivery;
    this.attempt = delivery.attempt;
    this.redeliveries = redeliveries;
  }

  /** Whether the broker gives the message to somebody else, or gave it. */
  get isLost(): boolean {
    return this.delivery.isAborted ?? this.delivery.signal.aborted;
  }

  /** The next attempt: what ended the one before is over. */
  beginAttempt(): void {
    this.#reason = undefined;
  }

  /** A consumer begins. Answers why its run is aborted already, if it is. */
  begin(run: Abortable): DeliveryAbortedError | undefined {
    this.#run?.end();
    this.#run = run;
    return this.#reason;
  }

  /** For this attempt: its present run, and those of further consumers. Only the first reason counts. */
  abort(reason: DeliveryAbortedError): void {
    this.#reason ??= reason;
    this.#run?.abort(reason);
    this.endWait?.();
  }

  /** For the present run only. */
  abortRun(reason: DeliveryAbortedError): void {
    this.#run?.abort(reason);
  }
}
