import type { DeduplicationCache, MaybePromise, MessageClass } from '@melange/core';
import { MelangeError } from '@melange/core';
import {
  type BatchAnswer,
  defineService,
  type HandlerContext,
  type Service,
  type ServiceBackends,
  type ServiceBatchContext,
  type ServiceDeclaration,
} from '@melange/service';
import type { DiscoveryService, ExternalContextCreator, ModulesContainer } from '@nestjs/core';
import { declarationOf } from './declaration.ts';
import { Feature } from './feature.ts';
import { type FoundHandler, findHandlers, requestScopedEnhancers } from './find-handlers.ts';
import { handlerCall } from './handler-call.ts';
import { nestLogger } from './nest-logger.ts';
import type { MelangeOptions } from './options.ts';
import { melangeOptions } from './tokens.ts';

/** What Nest has to make a service of. */
export interface MelangeServiceParts {
  readonly options: MelangeOptions;
  readonly backend: ServiceBackends;
  readonly cache: DeduplicationCache | undefined;
  readonly discovery: DiscoveryService;
  readonly contexts: ExternalContextCreator;
  readonly modules: ModulesContainer;
}

/**
 * The service with the handlers of all providers.
 *
 * @throws MelangeError `CONFIGURATION` for what does not fit together.
 */
export function serviceOf({
  options,
  backend,
  cache,
  discovery,
  contexts,
  modules,
}: MelangeServiceParts): Service {
  const providers = discovery.getProviders();
  if (providers.filter(({ token, isAlias }) => token === melangeOptions && !isAlias).length > 1)
    throw new MelangeError(
      'CONFIGURATION',
      'MelangeModule.forRoot is imported twice: one service for an application, with several backends where it needs them; modules add to it by forFeature.',
    );
  const features = providers.flatMap(({ instance }) =>
    instance instanceof Feature ? [instance.feature] : [],
  );
  const handlers = findHandlers(discovery);
  const { cache: _overridden, ...others } = declarationOf(options, features, handlers);
  const logger = options.logger ?? nestLogger();
  const skipped = requestScopedEnhancers(modules);
  if (handlers.length > 0 && skipped.length > 0)
    logger.warn(`made for each request, and so not called for messages: ${skipped.join(', ')}`);
  const declaration: ServiceDeclaration = {
    ...others,
    backend,
    logger,
    // The application's requests publish until they have ended, after the handlers.
    closesResources: false,
    ...(cache !== undefined && { cache }),
  };
  const service = defineService(declaration) as Service;
  for (const handler of handlers) attach(service, contexts, handler);
  return service;
}

function attach(service: Service, contexts: ExternalContextCreator, handler: FoundHandler): void {
  const { queue, batch } = handler.options;
  const type = handler.type as MessageClass & string;
  const call = handlerCall(contexts, handler);
  if (batch === undefined) {
    service.on(queue, type, async (message: object, context: HandlerContext) => {
      await call(message, context);
    });
  } else {
    service.onBatch(
      queue,
      type,
      batch,
      (messages: readonly object[], context: ServiceBatchContext) =>
        call(messages, context) as MaybePromise<BatchAnswer>,
    );
  }
}
