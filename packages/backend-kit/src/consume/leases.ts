import type { Clock } from '@melange/core';
import type { LeaseDriver, Received, Renewal } from '../driver.ts';
import { reasonOf } from '../explain.ts';

/** A message whose lease is kept. */
export interface Leased<Taken> {
  /** What the driver renews. */
  readonly taken: Taken;
  /** Of the monotonic clock, in ms: until then the message is surely ours. */
  leaseEndsAt: number;
}

/** What keeping leases needs. */
export interface LeaseSettings<Taken extends Received, Held extends Leased<Taken>> {
  /** Renews, and says for how long. */
  readonly driver: LeaseDriver<Taken>;
  /** Time. */
  readonly clock: Clock;
  /** Messages to be kept: those whose delivery is open, and those whose settlement is under way. */
  readonly held: () => Iterable<Held>;
  /** The broker has taken the message back, or may have. */
  readonly onLost: (held: Held, why: string) => void;
}

/**
 * Renews the leases of what is held at a third of their time, many in one request. Invariant: a lease counts from before the
 * request that got it, so that it never ends at the broker before it ends here; a delivery whose lease
 * ended is lost before its message can be handed out elsewhere.
 */
export class Leases<Taken extends Received, Held extends Leased<Taken> = Leased<Taken>> {
  readonly #settings: LeaseSettings<Taken, Held>;
  #cancel: (() => void) | undefined;
  readonly #renewing = new Set<Held>();
  #lastReason = 'no answer';
  /** The last two looks, of the monotonic clock. */
  #looks: readonly [earlier: number, later: number];

  constructor(settings: LeaseSettings<Taken, Held>) {
    this.#settings = settings;
    const now = settings.clock.monotonicNow();
    this.#looks = [now, now];
  }

  /**
   * The earliest time at which an answer that arrives now can have been given, to a request that may have waited for long at
   * the broker. An answer that had been there before the last two looks would have been read between them.
   *
   * @param asked when the request was made.
   */
  givenAfter(asked: number): number {
    return Math.max(asked, this.#looks[0]);
  }

  /** When a lease ends that began then, of the monotonic clock. */
  endFrom(begun: number): number {
    return begun + this.#settings.driver.leaseMs;
  }

  /** Begins to keep what is held. */
  start(): void {
    this.#cancel ??= this.#settings.clock.schedule(() => {
      this.#cancel = undefined;
      this.#look();
      this.start();
    }, this.#settings.driver.leaseMs / 6);
  }

  /** Keeps nothing any more, and leaves no timer. */
  stop(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #look(): void {
    const { clock, driver, held, onLost } = this.#settings;
    const { maxPerRenewal = Number.POSITIVE_INFINITY } = driver;
    const now = clock.monotonicNow();
    this.#looks = [this.#looks[1], now];
    let due: Held[] = [];
    for (const one of held()) {
      if (one.leaseEndsAt <= now)
        onLost(one, `The lease of ${driver.leaseMs} ms could not be renewed: ${this.#lastReason}.`);
      else if (one.leaseEndsAt - now <= (driver.leaseMs * 2) / 3 && !this.#renewing.has(one)) {
        due.push(one);
        if (due.length < maxPerRenewal) continue;
        void this.#renew(due, now);
        due = [];
      }
    }
    if (due.length > 0) void this.#renew(due, now);
  }

  async #renew(due: readonly Held[], asked: number): Promise<void> {
    const { driver, onLost } = this.#settings;
    for (const one of due) this.#renewing.add(one);
    try {
      const answer = await driver.renew(due.map(({ taken }) => taken));
      const { lost, failed, reason }: Renewal<Taken> =
        'lost' in answer ? answer : { lost: answer, failed: [] };
      if (reason !== undefined) this.#lastReason = reason;
      const [allLost, allFailed] = [new Set(lost), new Set(failed)];
      for (const one of due) {
        if (allLost.has(one.taken)) onLost(one, 'The broker has given the message to another subscriber.');
        else if (!allFailed.has(one.taken)) one.leaseEndsAt = this.endFrom(asked);
      }
    } catch (error) {
      // The leases may last: they are lost when their time has run out.
      this.#lastReason = reasonOf(error);
    } finally {
      for (const one of due) this.#renewing.delete(one);
    }
  }
}
