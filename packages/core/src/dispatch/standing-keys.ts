import type { Clock } from '../contract/clock.ts';

/** Keys whose first message fails again and again, while the others of the key wait for it. */
export interface Standing {
  /** How many there are. */
  readonly keys: number;
  /** The one that has stood still for longest. */
  readonly key: string;
  /** For how long it has, in ms, since the first failure. */
  readonly forMs: number;
  /** Messages of all such keys that were sent back to the broker, to come again in their order. */
  readonly parked: number;
}

interface Trouble {
  readonly since: number;
  /** When it is run again. */
  dueAt: number;
}

/** So long after it was due, another process has taken the message over, of whose success nobody here learns. */
const graceMs = 120_000;

/** Remembers which keys are in trouble, and since when. */
export class StandingKeys {
  /** The one that has stood for longest first. */
  readonly #troubles = new Map<string, Trouble>();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A message of the key was run, which is to be repeated after the delay and holds up those behind it. */
  stands(key: string, delayMs: number): void {
    const now = this.#clock.monotonicNow();
    const trouble = this.#troubles.get(key);
    if (trouble === undefined) this.#troubles.set(key, { since: now, dueAt: now + delayMs });
    else trouble.dueAt = now + delayMs;
  }

  /** A message of the key is done with. */
  goesOn(key: string): void {
    if (this.#troubles.size > 0) this.#troubles.delete(key);
  }

  /** @param parked messages that are parked. */
  tell(parked: number): Standing | undefined {
    const now = this.#clock.monotonicNow();
    for (const [key, { dueAt }] of this.#troubles) if (dueAt + graceMs < now) this.#troubles.delete(key);
    const [longest] = this.#troubles;
    if (longest === undefined) return undefined;
    return { keys: this.#troubles.size, key: longest[0], forMs: now - longest[1].since, parked };
  }
}
