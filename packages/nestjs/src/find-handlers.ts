import { MelangeError } from '@melange/core';
import type { DiscoveryService, ModulesContainer } from '@nestjs/core';
import { type DecoratedHandler, decoratedHandlers } from './message-handler.ts';

type Wrapper = ReturnType<DiscoveryService['getProviders']>[number];

/** A handler with the provider that has it. */
export interface FoundHandler extends DecoratedHandler {
  readonly instance: object;
}

/**
 * The handlers of all providers.
 *
 * @throws MelangeError `CONFIGURATION` for a provider whose handlers Nest could not call as it should.
 */
export function findHandlers(discovery: DiscoveryService): readonly FoundHandler[] {
  for (const controller of discovery.getControllers()) {
    const [handler] = handlersOf(controller);
    if (handler !== undefined)
      throw refused(
        controller,
        handler,
        'it is a controller, whose guards Nest would leave out: move it to a provider.',
      );
  }
  return discovery.getProviders().flatMap((provider) => {
    const handlers = handlersOf(provider);
    const [first] = handlers;
    const reason = first && reasonAgainst(provider);
    if (reason !== undefined) throw refused(provider, first as DecoratedHandler, reason);
    return handlers.map((handler) => ({ ...handler, instance: provider.instance as object }));
  });
}

/** Enhancers of the whole application that are made for each request: nobody makes them for a message. */
export function requestScopedEnhancers(modules: ModulesContainer): readonly string[] {
  const tokens = /^APP_(GUARD|INTERCEPTOR|PIPE|FILTER)/;
  return [...modules.values()]
    .flatMap(({ injectables, providers }) => [...injectables.values(), ...providers.values()])
    .filter(({ token }) => typeof token === 'string' && tokens.test(token))
    .filter((enhancer) => !enhancer.isDependencyTreeStatic())
    .map(({ token, metatype }) => `${tokens.exec(token as string)?.[0]} ${nameOf(metatype)}`);
}

function handlersOf({ isAlias, isNotMetatype, instance, metatype }: Wrapper): readonly DecoratedHandler[] {
  if (isAlias) return [];
  const prototype: unknown = isNotMetatype
    ? typeof instance === 'object' && instance !== null && Object.getPrototypeOf(instance)
    : metatype?.prototype;
  return typeof prototype === 'object' && prototype !== null ? decoratedHandlers(prototype) : [];
}

function reasonAgainst(provider: Wrapper): string | undefined {
  if (!provider.isDependencyTreeStatic())
    return 'it is made for each request, itself or by what it injects or is guarded by, and a message is none: a retry of the message and the batch that it came in would be others. Take what changes with the message from the message and its context.';
  if (provider.isTransient)
    return 'it is transient: there would be no telling which of its instances is meant.';
  if (provider.isNotMetatype || provider.token !== provider.metatype)
    return 'it is provided under another token or by a factory, so that Nest could leave out its guards: provide the class itself.';
  return undefined;
}

function refused(
  { isNotMetatype, metatype, instance }: Wrapper,
  { type, property, options }: DecoratedHandler,
  reason: string,
): MelangeError {
  const place = `${nameOf(isNotMetatype ? instance.constructor : metatype)}.${String(property)}`;
  return new MelangeError(
    'CONFIGURATION',
    `${place} cannot handle ${type.name} of "${options.queue}": ${reason}`,
  );
}

function nameOf(named: unknown): string {
  return typeof named === 'function' && named.name !== '' ? named.name : 'a provider';
}
