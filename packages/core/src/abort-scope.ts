import type { Delivery } from './backend.ts';
import type { DeliveryAbortedError } from './errors.ts';

/**
 * The signal that handlers of one delivery see: the delivery's own, joined by the dispatcher's reasons.
 * Made only when a handler looks at it, for most never do.
 */
export class AbortScope {
  readonly #delivery: Delivery;
  #reason: DeliveryAbortedError | undefined;
  #controller: AbortController | undefined;

  constructor(delivery: Delivery) {
    this.#delivery = delivery;
  }

  get signal(): AbortSignal {
    if (this.#controller !== undefined) return this.#controller.signal;
    const controller = new AbortController();
    this.#controller = controller;
    const upstream = this.#delivery.signal;
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
