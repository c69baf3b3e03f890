import type { Logger, MessageClass } from '@melange/core';
import type {
  QueueDeclaration,
  SendDeclaration,
  ServiceDeclaration,
  TopicDeclaration,
} from '@melange/service';
import type { InjectionToken, ModuleMetadata, OptionalFactoryDependency, Type } from '@nestjs/common';

/** What a module adds to the service. */
export interface MelangeFeature {
  /** Classes of messages, besides those that have a handler or are published. Default: none. */
  readonly messages?: readonly MessageClass[];
  /** Queues that are consumed, by name; all are declared at the start. Default: none. */
  readonly queues?: Readonly<Record<string, QueueDeclaration>>;
  /** What is published to which topic; several modules may publish to one. Default: none. */
  readonly publishes?: Readonly<Record<string, TopicDeclaration>>;
  /** What is sent to which queue; several modules may send to one. Default: none. */
  readonly sends?: Readonly<Record<string, SendDeclaration>>;
}

/** How the application starts and ends with the service, and what it says otherwise than `defineService`. */
export interface MelangeApplicationOptions {
  /** Classes of messages, besides those that have a handler or are published. Default: none. */
  readonly messages?: readonly MessageClass[];
  /** Fail when a broker is away at the start, instead of waiting for it. Default: false. */
  readonly failFast?: boolean;
  /**
   * Whether the start of the application waits until all queues are consumed. `false` has it serve requests meanwhile, those about
   * its health included; what keeps the service from starting is then logged, and it stays unhealthy. Default: true.
   */
  readonly awaitsStart?: boolean;
  /** Told what happens. Default: Nest's `Logger`, under the name `Melange`. */
  readonly logger?: Logger;
  /** Whether backends and cache are closed at the end of the application's shutdown. Default: true. */
  readonly closesResources?: boolean;
}

/** The service: as `defineService` takes it, and as an application of Nest has it. */
export interface MelangeOptions
  extends Omit<ServiceDeclaration, keyof MelangeApplicationOptions>,
    MelangeApplicationOptions {}

/** Makes the options, as an injectable class. */
export interface MelangeOptionsFactory {
  /** Called once, before anything is injected that publishes or is told of the service. */
  createMelangeOptions(): MelangeOptions | Promise<MelangeOptions>;
}

/** Options that are made by a provider: by one of `useFactory`, `useClass` and `useExisting`. */
export interface MelangeAsyncOptions extends Pick<ModuleMetadata, 'imports'> {
  /** Makes the options of what `inject` names. */
  readonly useFactory?: (...dependencies: never[]) => MelangeOptions | Promise<MelangeOptions>;
  /** What `useFactory` is called with. Default: nothing. */
  readonly inject?: readonly (InjectionToken | OptionalFactoryDependency)[];
  /** A class that is instantiated for it. */
  readonly useClass?: Type<MelangeOptionsFactory>;
  /** A provider that is there already. */
  readonly useExisting?: InjectionToken<MelangeOptionsFactory>;
}
