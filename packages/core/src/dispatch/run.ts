import { deduplicationKey } from '../contract/cache.ts';
import { correlationIdOf } from '../contract/consume-context.ts';
import type { Consumer } from '../contract/consumer.ts';
import type { Message } from '../contract/message.ts';
import type { MiddlewareContext } from '../contract/middleware.ts';
import type { DeliveryAbortedError } from '../errors.ts';
import type { Abortable, Work } from './work.ts';

/** One run of a consumer: its context, with a signal of its own. */
export class Run implements MiddlewareContext, Abortable {
  readonly consumer: string;
  readonly message: unknown;
  readonly messageId: string;
  readonly manifest: string | undefined;
  readonly attempt: number;
  readonly headers: Message['headers'];
  readonly key: string | undefined;
  readonly #consumer: Consumer;
  readonly #queue: string;
  readonly #delivery: Work['delivery'];
  #reason: DeliveryAbortedError | undefined;
  #controller: AbortController | undefined;
  #stopListening: (() => void) | undefined;

  constructor(work: Work, consumer: Consumer, message: unknown, queue: string) {
    const received = work.delivery.message;
    this.#consumer = consumer;
    this.#queue = queue;
    this.consumer = consumer.name;
    this.message = message;
    this.messageId = received.id;
    this.manifest = received.manifest;
    this.attempt = work.attempt;
    this.headers = received.headers;
    this.key = received.key;
    this.#delivery = work.delivery;
    this.#reason = work.begin(this);
  }

  get deduplicationKey(): string {
    return deduplicationKey(this.#queue, this.#consumer, this.messageId);
  }

  get correlationId(): string {
    return correlationIdOf(this.#delivery.message);
  }

  /** Aborted by the delivery's own signal or by the dispatcher. Made when a handler first reads it: most never do. */
  get signal(): AbortSignal {
    if (this.#controller !== undefined) return this.#controller.signal;
    const controller = new AbortController();
    this.#controller = controller;
    const upstream = this.#delivery.signal;
    if (this.#reason !== undefined) controller.abort(this.#reason);
    else if (upstream.aborted) controller.abort(upstream.reason);
    else {
      const abort = (): void => controller.abort(upstream.reason);
      upstream.addEventListener('abort', abort, { once: true });
      this.#stopListening = () => upstream.removeEventListener('abort', abort);
    }
    return controller.signal;
  }

  /** Only the first reason counts. */
  abort(reason: DeliveryAbortedError): void {
    this.#reason ??= reason;
    this.#controller?.abort(this.#reason);
  }

  /** The run is over: its listener is removed from the delivery, which may see many more runs. */
  end(): void {
    this.#stopListening?.();
  }
}
