import type { ConsumeContext, Consumer } from '../contract/consumer.ts';
import type { MaybePromise } from '../contract/maybe-promise.ts';
import { MelangeError } from '../errors.ts';
import type { MessageClass } from '../messages/message-type.ts';

/** Processes messages of one type. */
export type Handler<Instance extends object> = (
  message: Instance,
  context: ConsumeContext,
) => MaybePromise<void>;

let registrations = 0;

/** How many handlers `on` has registered so far: a cache of routes is out of date when the number has grown. */
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
    for (const [type, method] of decoratedMethods(this)) this.on(type, method.bind(this));
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

/** Methods that legacy decorators have marked, by prototype: unlike standard decorators, these do not run when an instance is made. */
const decorated = new WeakMap<object, DecoratedMethod[]>();

type DecoratedMethod = readonly [type: MessageClass, method: Handler<object>];

/** Marked methods of the class of `instance` and of the classes that it extends. */
function decoratedMethods(instance: object): DecoratedMethod[] {
  const found: DecoratedMethod[] = [];
  for (let one = Object.getPrototypeOf(instance); one !== null; one = Object.getPrototypeOf(one))
    found.push(...(decorated.get(one as object) ?? []));
  return found;
}

/** A method that `consumer` decorates, as a standard decorator or a legacy one. */
export interface ConsumerDecorator<Instance extends object> {
  /** TC39 standard decorators. */
  <This extends SingleDispatchConsumer>(
    method: (this: This, message: Instance, context: ConsumeContext) => MaybePromise<void>,
    context: ClassMethodDecoratorContext<This>,
  ): void;
  /** TypeScript's own, of `experimentalDecorators`. */
  (
    prototype: SingleDispatchConsumer,
    method: string | symbol,
    descriptor: { value?: ((message: Instance, context: ConsumeContext) => MaybePromise<void>) | undefined },
  ): void;
}

/**
 * Makes a method of a `SingleDispatchConsumer` the handler of a type: `@consumer(OrderPlaced)`, the same as
 * `this.on(type, method)` in the constructor. A TC39 standard decorator, and one of `experimentalDecorators`.
 */
export function consumer<Instance extends object>(type: MessageClass<Instance>): ConsumerDecorator<Instance> {
  return (method: unknown, context: unknown, descriptor?: PropertyDescriptor): void => {
    if (typeof context === 'object') {
      (context as ClassMethodDecoratorContext<SingleDispatchConsumer>).addInitializer(function () {
        this.on(type, (method as Handler<Instance>).bind(this));
      });
      return;
    }
    const prototype = method as object;
    decorated.set(prototype, [...(decorated.get(prototype) ?? []), [type, descriptor?.value]]);
  };
}
