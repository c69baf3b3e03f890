import type { Clock } from '@melange/core';
import type { LeaseDriver, Received } from '../driver.ts';
import { reasonOf } from '../explain.ts';
import type { TakenDelivery } from './delivery.ts';

/** What keeping leases needs. */
export interface LeaseSettings<Taken extends Received> {
  readonly driver: LeaseDriver<Taken>;
  readonly clock: Clock;
  /** Deliveries to be kept: open ones, and those whose settlement is under way. */
  readonly held: () => Iterable<TakenDelivery<Taken>>;
  /** The broker has taken the message back, or may have. */
  readonly onLost: (delivery: TakenDelivery<Taken>, why: string) => void;
}

/**
 * Renews the leases of what is held at a third of their time, all in one request. Invariant: a lease counts from before the
 * request that got it, so that it never ends at the broker before it ends here; a delivery whose lease
 * ended is lost before its message can be handed out elsewhere.
 */
export class Leases<Taken extends Received> {
  readonly #settings: LeaseSettings<Taken>;
  #cancel: (() => void) | undefined;
  #isRenewing = false;
  #lastReason = 'no answer';

  constructor(settings: LeaseSettings<Taken>) {
    this.#settings = settings;
  }

  /** When a lease ends that is asked for now, by the monotonic clock. */
  endFrom(asked: number): number {
    return asked + this.#settings.driver.leaseMs;
  }

  /** Begins to keep what is held. */
  start(): void {
    this.#cancel ??= this.#settings.clock.schedule(() => {
      this.#cancel = undefined;
      this.#look();
      this.start();
    }, this.#settings.driver.leaseMs / 6);
  }

  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #look(): void {
    const { clock, driver, held, onLost } = this.#settings;
    const now = clock.monotonicNow();
    const due: TakenDelivery<Taken>[] = [];
    for (const delivery of held()) {
      if (delivery.leaseEndsAt <= now)
        onLost(delivery, `The lease of ${driver.leaseMs} ms could not be renewed: ${this.#lastReason}.`);
      else if (delivery.leaseEndsAt - now <= (driver.leaseMs * 2) / 3) due.push(delivery);
    }
    if (due.length > 0 && !this.#isRenewing) void this.#renew(due, now);
  }

  async #renew(due: readonly TakenDelivery<Taken>[], asked: number): Promise<void> {
    const { driver, onLost } = this.#settings;
    this.#isRenewing = true;
    try {
      const lost = new Set(await driver.renew(due.map(({ taken }) => taken)));
      for (const delivery of due) {
        if (lost.has(delivery.taken))
          onLost(delivery, 'The broker has given the message to another subscriber.');
        else delivery.leaseEndsAt = this.endFrom(asked);
      }
    } catch (error) {
      // The leases may last: they are lost when their time has run out.
      this.#lastReason = reasonOf(error);
    } finally {
      this.#isRenewing = false;
    }
  }
}
