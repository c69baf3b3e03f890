import { MelangeError } from '@melange/core';
import type { ExecutionContext } from '@nestjs/common';
import type { ExternalContextCreator } from '@nestjs/core';
import { isObservable, lastValueFrom } from 'rxjs';
import { filtersAlone } from './filters-alone.ts';
import { type HandlingContext, handling } from './handling.ts';
import { parameters, parametersKey } from './parameters.ts';

/** What `getType()` says of a context or host of a message handler. */
export const melangeContextType = 'melange';

/** Whether guards, interceptors, filters and parameter decorators are called for a message, not for a request. */
export function isMelangeContext(context: Pick<ExecutionContext, 'getType'>): boolean {
  return context.getType<string>() === melangeContextType;
}

/** Returned by an exception filter: the message counts as processed in spite of the error. */
export const acknowledged: unique symbol = Symbol.for('melange:nestjs:acknowledged') as never;

/** A method of a provider. */
export interface Method {
  readonly instance: object;
  readonly property: string | symbol;
  /** Called with the message and the context, whatever Nest makes of the arguments. */
  readonly takesContext: boolean;
}

type Call = (message: unknown, context: HandlingContext) => Promise<unknown>;
type AnyFunction = (...values: readonly unknown[]) => unknown;

/**
 * A method with its guards, interceptors, pipes and filters. It rejects with what any of them throws.
 *
 * A filter that returns has only looked at the error, unless it returns `acknowledged`: one that was written for requests must not
 * acknowledge a message that failed.
 */
export function handlerCall(creator: ExternalContextCreator, method: Method): Call {
  const { instance, property } = method;
  const original = (instance as Record<string | symbol, AnyFunction>)[property] as AnyFunction;
  const name = String(property);
  const create = (callback: AnyFunction, named: string, isFiltering: boolean): AnyFunction =>
    (isFiltering ? filtersAlone(creator, melangeContextType) : creator).create(
      instance as Record<string, never>,
      callback as (...values: unknown[]) => unknown,
      named,
      isFiltering ? undefined : parametersKey,
      isFiltering ? undefined : parameters,
      undefined,
      undefined,
      { guards: !isFiltering, interceptors: !isFiltering, filters: isFiltering },
      melangeContextType,
    );
  // By another name: Nest 11 remembers the parameters of a method by name.
  const filter = create(
    like(original, (_message, _context, error) => {
      throw error;
    }),
    `${name}, filtered`,
    true,
  );
  const withContext = like(original, (message) => original.call(instance, message, handling.getStore()));
  const run = create(method.takesContext ? withContext : original, name, false);
  return async (message, context) => {
    try {
      return await handling.run(context, () => run(message, context));
    } catch (error) {
      if (MelangeError.is(error, 'REJECTED') || MelangeError.is(error, 'RETRY_LATER')) throw error;
      const answer = await filter(message, context, error);
      const last = isObservable(answer) ? await lastValueFrom(answer, { defaultValue: undefined }) : answer;
      if (last !== acknowledged) throw error;
      return undefined;
    }
  };
}

/** A function with the metadata of another one: `Reflector` finds on it what decorators have left. */
function like(original: AnyFunction, call: AnyFunction): AnyFunction {
  Object.defineProperty(call, 'name', { value: original.name });
  return Object.setPrototypeOf(call, original) as AnyFunction;
}
