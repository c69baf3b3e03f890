import 'reflect-metadata';
import { type MaybePromise, MelangeError, type MessageClass } from '@melange/core';
import { schemaOf } from '@melange/core/adapter';
import type { BatchAnswer, BatchOptions, InstanceOf } from '@melange/service';
import { messageParameter, parametersKey, validatedMessageParameter } from './parameters.ts';

/** Where the messages of a handler come from. */
export interface MessageHandlerOptions {
  /** Name of a queue that `forRoot` or `forFeature` declares. */
  readonly queue: string;
  /** Many messages in one call, see `onBatch` of `@melange/service`. Default: one message in one call. */
  readonly batch?: BatchOptions;
}

/** Decorates a method that takes the message first, and then what it likes. */
export type HandlerDecorator<Message, Answer> = <
  Method extends (message: Message, ...others: never[]) => Answer,
>(
  target: object,
  property: string | symbol,
  descriptor: TypedPropertyDescriptor<Method>,
) => void;

/** A handler of a class, as it was decorated. */
export interface DecoratedHandler {
  readonly property: string | symbol;
  readonly type: MessageClass;
  readonly options: MessageHandlerOptions;
  /** Nobody decorated its parameters: it is called with the message and the context. */
  readonly takesContext: boolean;
}

const handlersKey = Symbol.for('melange:nestjs:handlers');

/**
 * Has a method of a provider process the messages of `type`, and of its subclasses without a handler of their own, of one of the
 * service's queues: it is called with the message and a `HandlerContext`. When it resolves, the message is acknowledged; when it
 * throws, it is retried; `Reject` dead-letters it at once, `RetryLater` chooses the delay.
 *
 * A decorator of `experimentalDecorators`, as all of NestJS.
 *
 * @throws MelangeError `CONFIGURATION` under standard decorators.
 */
export function MessageHandler<Type extends MessageClass>(
  type: Type,
  options: MessageHandlerOptions & { readonly batch?: never },
): HandlerDecorator<InstanceOf<Type>, unknown>;
/** As without `batch`, with many messages in one call, and one result for each or none for all, as `onBatch` of `@melange/service`. */
export function MessageHandler<Type extends MessageClass>(
  type: Type,
  options: MessageHandlerOptions & { readonly batch: BatchOptions },
): HandlerDecorator<readonly InstanceOf<Type>[], MaybePromise<BatchAnswer>>;
/** Both of them. */
export function MessageHandler(
  type: MessageClass,
  options: MessageHandlerOptions,
): HandlerDecorator<never, unknown> {
  return (target, property) => {
    if (typeof property === 'object') {
      throw new MelangeError(
        'CONFIGURATION',
        `@MessageHandler(${type.name}) needs "experimentalDecorators" in tsconfig.json, as NestJS does.`,
      );
    }
    const handlers = ownHandlersOf(target);
    const others = handlers.filter((handler) => handler.property === property);
    const takesContext =
      others.some((handler) => handler.takesContext) ||
      !Reflect.hasOwnMetadata(parametersKey, target.constructor, property);
    if (takesContext) describeParameters(target, property, type, options);
    const handler: DecoratedHandler = { property, type, options, takesContext };
    Reflect.defineMetadata(handlersKey, [...handlers, handler], target);
  };
}

/** The handlers of a class and of the classes above it, without those that a subclass has overridden and not decorated. */
export function decoratedHandlers(prototype: object): readonly DecoratedHandler[] {
  const found: DecoratedHandler[] = [];
  const overridden = new Set<string | symbol>();
  for (
    let current: object | null = prototype;
    current !== null;
    current = Object.getPrototypeOf(current) as object | null
  ) {
    found.push(...ownHandlersOf(current).filter(({ property }) => !overridden.has(property)));
    for (const property of Reflect.ownKeys(current)) overridden.add(property);
  }
  return found;
}

function ownHandlersOf(prototype: object): readonly DecoratedHandler[] {
  return (Reflect.getOwnMetadata(handlersKey, prototype) as readonly DecoratedHandler[] | undefined) ?? [];
}

/** Tells Nest's pipes of the message. What its schema has validated is not for `ValidationPipe`, which would strip it bare. */
function describeParameters(
  target: object,
  property: string | symbol,
  type: MessageClass,
  { batch }: MessageHandlerOptions,
): void {
  const isValidated = batch !== undefined || schemaOf(type) !== undefined;
  const key = `${isValidated ? validatedMessageParameter : messageParameter}:0`;
  const parameters = { [key]: { index: 0, data: undefined, pipes: [] } };
  Reflect.defineMetadata(parametersKey, parameters, target.constructor, property);
  // Compilers such as esbuild do not say what a method takes.
  if (batch === undefined && !Reflect.hasOwnMetadata('design:paramtypes', target, property))
    Reflect.defineMetadata('design:paramtypes', [type], target, property);
}
