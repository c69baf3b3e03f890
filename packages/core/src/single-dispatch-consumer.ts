import type { ConsumeContext, Consumer } from './consumer.ts';
import type { MaybePromise } from './deduplication-cache.ts';
import { MelangeError } from './errors.ts';
import type { MessageClass } from './message-type.ts';

/** Processes messages of one type. */
export type Handler<Instance extends object> = (
  message: Instance,
  context: ConsumeContext,
) => MaybePromise<void>;

let registrations = 0;

/** How many handlers were ever registered by `on`: whoever remembers where messages go looks again when it grows. */
export function typeRegistrations(): number {
  return registrations;
}

/**
 * Routes by the class of the message: of the types given to `on`, the most specific one that fits wins, and
 * `accepts` follows from them. Extend it and use `@consumer`, or make one and call `on`.
 */
export class SingleDispatchConsumer implements Consumer {
  readonly name: string;
  readonly #handlers = new Map<object, Handler<never>>();

  /** @param name stable across deployments, unique within a dispatcher. */
  constructor(name: string) {
    this.name = name;
  }

  /**
   * Processes messages of `type`, and of its subclasses that have no handler of their own.
   *
   * @throws MelangeError `CONFIGURATION` when the type has a handler already.
   */
  on<Instance extends object>(type: MessageClass<Instance>, handler: Handler<Instance>): this {
    if (this.#handlers.has(type.prototype as object)) {
      throw new MelangeError(
        'CONFIGURATION',
        `Consumer "${this.name}" already has a handler for ${type.name}.`,
      );
    }
    this.#handlers.set(type.prototype as object, handler as Handler<never>);
    registrations += 1;
    return this;
  }

  accepts(message: unknown): boolean {
    return this.#handlerFor(message) !== undefined;
  }

  process(message: unknown, context: ConsumeContext): MaybePromise<void> {
    return this.#handlerFor(message)?.(message as never, context);
  }

  #handlerFor(message: unknown): Handler<never> | undefined {
    if (typeof message !== 'object' || message === null) return undefined;
    let prototype: unknown = Object.getPrototypeOf(message);
    while (prototype !== null) {
      const handler = this.#handlers.get(prototype as object);
      if (handler !== undefined) return handler;
      prototype = Object.getPrototypeOf(prototype);
    }
    return undefined;
  }
}

/**
 * Makes a method of a `SingleDispatchConsumer` the handler of a type: `@consumer(OrderPlaced)`. A TC39
 * standard decorator, the same as `this.on(type, method)` in the constructor.
 */
export function consumer<Instance extends object>(
  type: MessageClass<Instance>,
): <This extends SingleDispatchConsumer>(
  method: (this: This, message: Instance, context: ConsumeContext) => MaybePromise<void>,
  context: ClassMethodDecoratorContext<This>,
) => void {
  return (method, context) => {
    context.addInitializer(function () {
      this.on(type, method.bind(this));
    });
  };
}
