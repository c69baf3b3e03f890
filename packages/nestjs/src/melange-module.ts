import { MelangeError } from '@melange/core';
import type { ServiceShape } from '@melange/service';
import { type DynamicModule, type FactoryProvider, Module, type Provider } from '@nestjs/common';
import { DiscoveryModule, DiscoveryService, ExternalContextCreator, ModulesContainer } from '@nestjs/core';
import { Feature } from './feature.ts';
import { handling } from './handling.ts';
import { MelangeLifecycle, MelangeResources } from './lifecycle.ts';
import { MelangePublisher } from './melange-publisher.ts';
import { MelangeService } from './melange-service.ts';
import type {
  MelangeAsyncOptions,
  MelangeFeature,
  MelangeOptions,
  MelangeOptionsFactory,
} from './options.ts';
import { serviceOf } from './service-of.ts';
import { MELANGE_BACKEND, MELANGE_CACHE, melangeOptions } from './tokens.ts';

/** A service of messages inside of the application: handlers by `@MessageHandler`, publishing by `MelangePublisher`. */
// biome-ignore lint/complexity/noStaticOnlyClass: a module of NestJS is a class.
export class MelangeModule {
  /**
   * For the root module, once. `MelangePublisher` and `MelangeService` can then be injected everywhere.
   *
   * What does not fit together ends the start of the application with `CONFIGURATION`.
   */
  static forRoot(options: MelangeOptions): DynamicModule {
    return root({ provide: melangeOptions, useValue: options });
  }

  /**
   * As `forRoot`, with options that a provider makes, for instance of what `ConfigService` says.
   *
   * @throws MelangeError `CONFIGURATION` without `useFactory`, `useClass` or `useExisting`.
   */
  static forRootAsync({ imports = [], ...options }: MelangeAsyncOptions): DynamicModule {
    const { useFactory, inject = [], useClass, useExisting } = options;
    const factory: unknown = useExisting ?? useClass;
    if (useFactory !== undefined)
      return root({ provide: melangeOptions, useFactory, inject: [...inject] } as FactoryProvider, imports);
    if (factory === undefined)
      throw new MelangeError(
        'CONFIGURATION',
        'MelangeModule.forRootAsync needs useFactory, useClass or useExisting.',
      );
    const made: FactoryProvider = {
      provide: melangeOptions,
      useFactory: (maker: MelangeOptionsFactory) => maker.createMelangeOptions(),
      inject: [factory as never],
    };
    return root(made, imports, useClass === undefined ? [] : [useClass]);
  }

  /** For the other modules: what they add to the service. The root module imports `forRoot`. */
  static forFeature(feature: MelangeFeature): DynamicModule {
    const added: FactoryProvider = {
      provide: Feature,
      useFactory: () => new Feature(feature),
      // Nest then says that `forRoot` is missing.
      inject: [MelangeService],
    };
    return { module: MelangeFeatureModule, providers: [added] };
  }
}

/** What is there once, for all modules. */
class MelangeCoreModule {}

class MelangeFeatureModule {}

for (const module of [MelangeModule, MelangeCoreModule, MelangeFeatureModule]) Module({})(module);

const coreProviders: Provider[] = [
  {
    provide: MELANGE_BACKEND,
    useFactory: ({ backend }: MelangeOptions) => backend,
    inject: [melangeOptions],
  },
  {
    provide: MELANGE_CACHE,
    useFactory: ({ cache }: MelangeOptions) => cache,
    inject: [melangeOptions],
  },
  {
    provide: MelangeService,
    useFactory: (...[options, backend, cache, discovery, contexts, modules]: ServiceDependencies) =>
      new MelangeService(() => serviceOf({ options, backend, cache, discovery, contexts, modules })),
    inject: [
      melangeOptions,
      MELANGE_BACKEND,
      MELANGE_CACHE,
      DiscoveryService,
      ExternalContextCreator,
      ModulesContainer,
    ],
  },
  {
    provide: MelangePublisher,
    useFactory: (melange: MelangeService) =>
      new MelangePublisher<ServiceShape>(() => handling.getStore() ?? melange.service.publishing),
    inject: [MelangeService],
  },
  {
    provide: MelangeResources,
    useFactory: (...parts: ConstructorParameters<typeof MelangeResources>) => new MelangeResources(...parts),
    inject: [melangeOptions, MELANGE_BACKEND, MELANGE_CACHE],
  },
];

type ServiceDependencies = [
  options: MelangeOptions,
  backend: MelangeOptions['backend'],
  cache: MelangeOptions['cache'],
  discovery: DiscoveryService,
  contexts: ExternalContextCreator,
  modules: ModulesContainer,
];

function root(
  options: Provider,
  imports: MelangeAsyncOptions['imports'] & object = [],
  more: Provider[] = [],
): DynamicModule {
  const core: DynamicModule = {
    module: MelangeCoreModule,
    global: true,
    imports: [DiscoveryModule, ...imports],
    providers: [options, ...more, ...coreProviders],
    exports: [
      melangeOptions,
      MELANGE_BACKEND,
      MELANGE_CACHE,
      MelangeService,
      MelangePublisher,
      MelangeResources,
    ],
  };
  const lifecycle: FactoryProvider = {
    provide: MelangeLifecycle,
    useFactory: (...parts: ConstructorParameters<typeof MelangeLifecycle>) => new MelangeLifecycle(...parts),
    inject: [MelangeService, melangeOptions, MelangeResources],
  };
  // Global modules start first and end last; this one starts late and ends early, whatever handlers need being below.
  return { module: MelangeModule, imports: [core], providers: [lifecycle] };
}
