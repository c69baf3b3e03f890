import type { AbortReason, Logger } from '@melange/core';

/** What is renewed while it is unsettled. */
export interface Leased {
  readonly id: string;
  /** Of `performance.now()`: the lease lasts from then on at least. */
  leasedAt: number;
  /** Takes it away from its handler. */
  lose(reason: AbortReason, why: string): boolean;
}

/** What leases need of their subscription. */
export interface LeaseSettings {
  readonly queue: string;
  readonly leaseMs: number;
  readonly logger: Logger;
  /** Renews, and answers the ids that are somebody else's now. Rejects at the deadline, of `performance.now()`. */
  readonly renew: (ids: readonly string[], deadline: number) => Promise<readonly string[]>;
}

/** Ids in one script: others have their turn between two. */
const maxIdsAtOnce = 1_000;

/** Keeps what is unsettled ours; what is not any more is taken from its handler. */
export class Leases<Held extends Leased> {
  readonly #settings: LeaseSettings;
  readonly #held = new Map<string, Held>();
  readonly #timer: NodeJS.Timeout;
  #isRenewing = false;
  #isStopped = false;

  constructor(settings: LeaseSettings) {
    this.#settings = settings;
    this.#timer = setInterval(() => void this.#renewAll(), settings.leaseMs / 3);
  }

  get(id: string): Held | undefined {
    return this.#held.get(id);
  }

  has(id: string): boolean {
    return this.#held.has(id);
  }

  add(one: Held): void {
    this.#held.set(one.id, one);
  }

  /** One that Redis gave again meanwhile is another delivery of the same entry, and stays. */
  delete(one: Held): void {
    if (this.#held.get(one.id) === one) this.#held.delete(one.id);
  }

  all(): readonly Held[] {
    return [...this.#held.values()];
  }

  stop(): void {
    this.#isStopped = true;
    clearInterval(this.#timer);
  }

  async #renewAll(): Promise<void> {
    if (this.#isRenewing || this.#held.size === 0) return;
    this.#isRenewing = true;
    const all = this.all();
    const parts: Promise<boolean>[] = [];
    for (let start = 0; start < all.length; start += maxIdsAtOnce) {
      parts.push(this.#renew(all.slice(start, start + maxIdsAtOnce)));
    }
    const done = await Promise.all(parts);
    this.#isRenewing = false;
    // Those that were not lost yet have ends of their own, which the timer would meet too late.
    if (done.includes(false) && !this.#isStopped) setImmediate(() => void this.#renewAll());
  }

  /** Whether none was lost for want of an answer. Never rejects. */
  async #renew(part: readonly Held[]): Promise<boolean> {
    const { queue, leaseMs, logger } = this.#settings;
    const asked = performance.now();
    let oldest = asked;
    for (const { leasedAt } of part) oldest = Math.min(oldest, leasedAt);
    // A process that slept for longer asks all the same: it may be that nobody took them.
    const deadline = Math.max(oldest + leaseMs, asked + leaseMs / 3);
    try {
      const lost = await this.#settings.renew(
        part.map(({ id }) => id),
        deadline,
      );
      // From before it was asked: the lease may have begun at any moment since.
      for (const one of part) one.leasedAt = asked;
      const taken = new Set(lost);
      for (const one of part)
        if (taken.has(one.id)) one.lose('lease-lost', 'Another subscription took the message over.');
      return true;
    } catch (error) {
      const now = performance.now();
      const why = `The lease of ${leaseMs} ms could not be renewed.`;
      let deliveries = 0;
      for (const one of part) {
        const isEnded = one.leasedAt + leaseMs <= now && this.#held.get(one.id) === one;
        if (isEnded && one.lose('lease-lost', why)) deliveries += 1;
      }
      if (deliveries > 0) logger.warn(why, { queue, deliveries, error: String(error) });
      return deliveries === 0;
    }
  }
}
