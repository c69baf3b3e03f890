import type { Service } from '@melange/service';

/** The service of the application, for providers that look at it: health, counters, plan, a dispatcher; and its tests. */
export class MelangeService {
  readonly #define: () => Service;
  #service: Service | undefined;

  /** Nest makes it. */
  constructor(define: () => Service) {
    this.#define = define;
  }

  /**
   * The service with the handlers of all providers, as `defineService` makes it. The application starts and stops it. Not to be
   * asked for in a constructor, where providers are still missing.
   *
   * @throws MelangeError `CONFIGURATION` for what does not fit together.
   */
  get service(): Service {
    this.#service ??= this.#define();
    return this.#service;
  }
}
