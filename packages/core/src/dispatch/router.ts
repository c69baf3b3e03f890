import type { Consumer } from '../contract/consumer.ts';
import { SingleDispatchConsumer, typeRegistrations } from './single-dispatch-consumer.ts';

/**
 * Finds the consumers that may accept a message, in the order of their attachment, without calling `accepts` of each. Those
 * that route by class are asked once for each class; any other consumer is a candidate for every message.
 */
export class Router {
  readonly #consumers: readonly Consumer[];
  /** Candidates by the prototype of the message. Weak: a class can be collected. */
  #byPrototype = new WeakMap<object, readonly Consumer[]>();
  /** `typeRegistrations()` of when the candidates were looked up: a later `on` invalidates them. */
  #registrations = 0;

  constructor(consumers: readonly Consumer[]) {
    this.#consumers = consumers;
  }

  /** Every consumer that accepts the message is among them; `accepts` must still be asked. */
  candidatesFor(message: unknown): readonly Consumer[] {
    // With one consumer there is nothing to save.
    if (this.#consumers.length < 2 || typeof message !== 'object' || message === null) return this.#consumers;
    const prototype: object | null = Object.getPrototypeOf(message);
    if (prototype === null) return this.#consumers;
    if (this.#registrations !== typeRegistrations()) {
      this.#registrations = typeRegistrations();
      this.#byPrototype = new WeakMap();
    }
    let candidates = this.#byPrototype.get(prototype);
    if (candidates === undefined) {
      candidates = this.#consumers.filter(
        (consumer) => !routesByClass(consumer) || consumer.accepts(message),
      );
      this.#byPrototype.set(prototype, candidates);
    }
    return candidates;
  }
}

/** Whether `accepts` depends on the class of the message alone: not where a subclass overrides it. */
function routesByClass(consumer: Consumer): consumer is SingleDispatchConsumer {
  return (
    consumer instanceof SingleDispatchConsumer &&
    consumer.accepts === SingleDispatchConsumer.prototype.accepts
  );
}
