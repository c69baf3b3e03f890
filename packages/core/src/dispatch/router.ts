import type { Consumer } from '../contract/consumer.ts';
import { SingleDispatchConsumer, typeRegistrations } from './single-dispatch-consumer.ts';

/**
 * Finds the consumers that may accept a message without asking each of them: those that route by class are looked up
 * once for each class. Any other consumer is a candidate for every message. In the order of their attachment.
 */
export class Router {
  readonly #consumers: readonly Consumer[];
  /** Candidates by the prototype of the message; weak, for classes may come and go. */
  #byPrototype = new WeakMap<object, readonly Consumer[]>();
  /** `on` may be called at any time: what was looked up before counts no more. */
  #registrations = 0;

  constructor(consumers: readonly Consumer[]) {
    this.#consumers = consumers;
  }

  /** Whoever is not among them does not accept the message; those who are have still to be asked. */
  candidatesFor(message: unknown): readonly Consumer[] {
    // With one there is nothing to be spared.
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

/** Whether its answer is the same for all messages of a class: not where a subclass answers otherwise. */
function routesByClass(consumer: Consumer): consumer is SingleDispatchConsumer {
  return (
    consumer instanceof SingleDispatchConsumer &&
    consumer.accepts === SingleDispatchConsumer.prototype.accepts
  );
}
