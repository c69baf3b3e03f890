import type { Delivery } from './backend.ts';
import type { DeliveryAbortedError } from './errors.ts';
import type { Linked } from './lanes.ts';
import type { Outcome } from './process-message.ts';
import type { Slotted } from './slots.ts';

/** One delivery under way. One object with all that is known of it, for one is made for every message. */
export class Work implements Slotted, Linked<Work> {
  readonly delivery: Delivery;
  /** The broker's attempts plus those made here while the message stayed in its lane. */
  attempt: number;
  /** Given back to the broker: what the handler does now changes nothing there. */
  released = false;
  /** What the broker was told; nothing while it is to be repeated in its lane. */
  settledBy: Outcome | undefined = undefined;
  slot = -1;
  next: Work | undefined = undefined;
  #reason: DeliveryAbortedError | undefined;
  #controller: AbortController | undefined;

  constructor(delivery: Delivery) {
    this.delivery = delivery;
    this.attempt = delivery.attempt;
  }

  /**
   * The signal that handlers see: the delivery's own, joined by the dispatcher's reasons. Made only when a handler
   * looks at it, for most never do.
   */
  get signal(): AbortSignal {
    if (this.#controller !== undefined) return this.#controller.signal;
    const controller = new AbortController();
    this.#controller = controller;
    const upstream = this.delivery.signal;
    if (this.#reason !== undefined) controller.abort(this.#reason);
    else if (upstream.aborted) controller.abort(upstream.reason);
    else upstream.addEventListener('abort', () => controller.abort(upstream.reason), { once: true });
    return controller.signal;
  }

  /** Only the first reason counts. */
  abort(reason: DeliveryAbortedError): void {
    this.#reason ??= reason;
    this.#controller?.abort(reason);
  }
}
