import type { Clock } from '../contract/clock.ts';

/** Keys whose first message fails again and again, while the others of the key wait for it. */
export interface Standing {
  /** How many there are. */
  readonly keys: number;
  /** The one that has stood still for longest. */
  readonly key: string;
  /** For how long it has, in ms, since the first failure. */
  readonly forMs: number;
  /** Messages of all such keys that are parked: sent back to the broker with a delay, to be run in their order later. */
  readonly parked: number;
}

interface Trouble {
  readonly since: number;
  /** When its first message is run again, by the monotonic clock. */
  dueAt: number;
}

/** A key is forgotten so many ms after its message was due: another process has received the message, and does not say how it ended. */
const graceMs = 120_000;

/** Remembers which keys are in trouble, and since when. */
export class StandingKeys {
  /** In the order of `since`. */
  readonly #troubles = new Map<string, Trouble>();
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A message of the key is repeated after the delay; the messages behind it wait. */
  stands(key: string, delayMs: number): void {
    const now = this.#clock.monotonicNow();
    const trouble = this.#troubles.get(key);
    if (trouble === undefined) this.#troubles.set(key, { since: now, dueAt: now + delayMs });
    else trouble.dueAt = now + delayMs;
  }

  /** A message of the key was settled. */
  goesOn(key: string): void {
    if (this.#troubles.size > 0) this.#troubles.delete(key);
  }

  /** @param parked number of messages that are parked. */
  tell(parked: number): Standing | undefined {
    const now = this.#clock.monotonicNow();
    for (const [key, { dueAt }] of this.#troubles) if (dueAt + graceMs < now) this.#troubles.delete(key);
    const [longest] = this.#troubles;
    if (longest === undefined) return undefined;
    return { keys: this.#troubles.size, key: longest[0], forMs: now - longest[1].since, parked };
  }
}
