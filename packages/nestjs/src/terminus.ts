import { Inject, Injectable } from '@nestjs/common';
import { type HealthIndicatorResult, HealthIndicatorService } from '@nestjs/terminus';
import { MelangeService } from './melange-service.ts';

/** Tells `@nestjs/terminus` how the service is: a provider of the module that imports `TerminusModule`. */
export class MelangeHealthIndicator {
  readonly #melange: MelangeService;
  readonly #indicators: HealthIndicatorService;

  /** Nest makes it. */
  constructor(melange: MelangeService, indicators: HealthIndicatorService) {
    this.#melange = melange;
    this.#indicators = indicators;
  }

  /**
   * Up while the service is healthy or degraded, down while it is unhealthy: before it has started, while it stops, when a
   * queue has not been consumed for 30 s. With the health of each queue and backend. Never throws.
   */
  async isHealthy<const Key extends string>(key: Key): Promise<HealthIndicatorResult<Key>> {
    const { status: health, detail, queues, backends } = await this.#melange.service.health();
    const data = { health, ...(detail !== undefined && { detail }), queues, backends };
    const session = this.#indicators.check(key);
    return health === 'unhealthy' ? session.down(data) : session.up(data);
  }
}

Injectable()(MelangeHealthIndicator);
Inject(MelangeService)(MelangeHealthIndicator, undefined, 0);
Inject(HealthIndicatorService)(MelangeHealthIndicator, undefined, 1);
