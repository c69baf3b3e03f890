import type { DeduplicationCache, Logger } from '@melange/core';
import type { ServiceBackends } from '@melange/service';
import type {
  BeforeApplicationShutdown,
  OnApplicationBootstrap,
  OnApplicationShutdown,
  OnModuleDestroy,
  OnModuleInit,
} from '@nestjs/common';
import type { MelangeService } from './melange-service.ts';
import { nestLogger } from './nest-logger.ts';
import type { MelangeOptions } from './options.ts';

/** Closes what the service runs on, when nothing of the application publishes any more. */
export class MelangeResources implements OnApplicationShutdown {
  readonly #options: MelangeOptions;
  readonly #backend: ServiceBackends;
  readonly #cache: DeduplicationCache | undefined;
  #closed: Promise<void> | undefined;

  constructor(options: MelangeOptions, backend: ServiceBackends, cache: DeduplicationCache | undefined) {
    this.#options = options;
    this.#backend = backend;
    this.#cache = cache;
  }

  /** Requests have ended by then: Nest closes its servers before. */
  async onApplicationShutdown(): Promise<void> {
    await this.close();
  }

  /** Once, and only when the options leave it to this module. Never rejects: what fails is logged. */
  async close(): Promise<void> {
    if (this.#options.closesResources === false) return;
    this.#closed ??= this.#closeAll();
    await this.#closed;
  }

  async #closeAll(): Promise<void> {
    const { logger } = this;
    const backends = isBackend(this.#backend) ? [this.#backend] : Object.values(this.#backend);
    const close = async (resource: { close(): unknown } | undefined): Promise<void> => {
      try {
        await resource?.close();
      } catch (error) {
        logger.error('could not close a backend or the cache', { error });
      }
    };
    await Promise.all(backends.map(close));
    await close(this.#cache);
  }

  get logger(): Logger {
    return this.#options.logger ?? nestLogger();
  }
}

/** Starts the service when the application has started, and stops it before anything that handlers use is taken away. */
export class MelangeLifecycle
  implements OnModuleInit, OnApplicationBootstrap, OnModuleDestroy, BeforeApplicationShutdown
{
  readonly #melange: MelangeService;
  readonly #options: MelangeOptions;
  readonly #resources: MelangeResources;
  #isStarted = false;
  #isStopping = false;

  constructor(melange: MelangeService, options: MelangeOptions, resources: MelangeResources) {
    this.#melange = melange;
    this.#options = options;
    this.#resources = resources;
  }

  /** What does not fit together is told before anything is connected. Nest 11 runs no shutdown hooks after that. */
  async onModuleInit(): Promise<void> {
    try {
      void this.#melange.service;
    } catch (error) {
      await this.#resources.close();
      throw error;
    }
  }

  async onApplicationBootstrap(): Promise<void> {
    const { logger } = this.#resources;
    const { failFast = false, awaitsStart = true } = this.#options;
    if (this.#isStopping) return;
    this.#isStarted = true;
    const starting = this.#start(failFast);
    this.#melange.service.ended.catch((error: unknown) => {
      logger.error('does not consume any more', { error });
    });
    if (awaitsStart) await starting;
    else starting.catch((error: unknown) => logger.error('could not start', { error }));
  }

  /** Before the modules that this one's module imports, and those below: so that handlers still find them. */
  async onModuleDestroy(): Promise<void> {
    await this.#stop();
  }

  /** At the latest. */
  async beforeApplicationShutdown(): Promise<void> {
    await this.#stop();
  }

  async #start(failFast: boolean): Promise<void> {
    try {
      await this.#melange.service.start({ failFast });
    } catch (error) {
      // Told to stop while it waits for a broker: no failure.
      if (this.#isStopping) return;
      await this.#resources.close();
      throw error;
    }
  }

  async #stop(): Promise<void> {
    this.#isStopping = true;
    if (this.#isStarted) await this.#melange.service.stop();
  }
}

function isBackend(backend: ServiceBackends): backend is Extract<ServiceBackends, { close(): unknown }> {
  return typeof (backend as { readonly publishToQueue?: unknown }).publishToQueue === 'function';
}
