import type { Delivery } from '../contract/backend.ts';
import type { Clock } from '../contract/clock.ts';
import type { Lane } from './lanes.ts';
import type { Work } from './work.ts';

/** From so many redeliveries on, a message is suspected to end the process that handles it. */
const suspectFrom = 3;
/** Pause before the first suspect starts, in ms: those that a broker hands out together are to be chosen from. */
const gatherMs = 200;
/** Bound of the messages whose lost deliveries are remembered. */
const maxRemembered = 1_000;

/**
 * Messages of a queue that may end their process. They run one at a time, each settled before the next one starts, so
 * that the innocent ones among them finish: the least suspected first, and of equals one by chance, for the guilty one
 * would else always come before those behind it.
 */
export class Suspects {
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #onTurn: (lane: Lane<Work>) => void;
  readonly #held: Lane<Work>[] = [];
  /** How often each message was lost while this process lived on, the longest remembered first. */
  readonly #survived = new Map<string, number>();
  #current: Work | undefined;
  #endGathering: (() => void) | undefined;

  /** @param onTurn called with the lane of the suspect that may start: it is admitted then. */
  constructor(clock: Clock, random: () => number, onTurn: (lane: Lane<Work>) => void) {
    this.#clock = clock;
    this.#random = random;
    this.#onTurn = onTurn;
  }

  /** How often the message was handed out in vain, without the times that this process lived on to see it lost. */
  redeliveriesOf(delivery: Delivery): number {
    const { redeliveries = 0 } = delivery;
    if (redeliveries === 0) return 0;
    return Math.max(0, redeliveries - (this.#survived.get(delivery.message.id) ?? 0));
  }

  /** The delivery was lost, to a reconnect for instance, but not with this process: that tells nothing against it. */
  survived({ message: { id } }: Delivery): void {
    const times = (this.#survived.get(id) ?? 0) + 1;
    this.#survived.delete(id);
    this.#survived.set(id, times);
    if (this.#survived.size <= maxRemembered) return;
    for (const oldest of this.#survived.keys()) {
      this.#survived.delete(oldest);
      return;
    }
  }

  /** Whether the first work of the lane may start now; a suspect otherwise waits here for its turn. */
  admits(lane: Lane<Work>, maxRedeliveries: number): boolean {
    const work = lane.first as Work;
    const isSuspect = work.redeliveries >= suspectFrom && work.redeliveries <= maxRedeliveries;
    if (!isSuspect || work === this.#current) return true;
    this.#held.push(lane);
    if (this.#current === undefined)
      this.#endGathering ??= this.#clock.schedule(() => this.#next(), gatherMs);
    return false;
  }

  /** The work is over for now: the next suspect may start. */
  finished(work: Work): void {
    if (work !== this.#current) return;
    this.#current = undefined;
    if (this.#held.length > 0) this.#next();
  }

  /** Lets all go that wait for their turn, never to be called again. */
  drain(): readonly Lane<Work>[] {
    this.#endGathering?.();
    return this.#held.splice(0);
  }

  #next(): void {
    this.#endGathering = undefined;
    const least = this.#held.reduce(
      (min, { first }) => Math.min(min, (first as Work).redeliveries),
      Infinity,
    );
    const equals = this.#held.filter(({ first }) => first?.redeliveries === least);
    const lane = equals[Math.floor(this.#random() * equals.length)] as Lane<Work>;
    this.#held.splice(this.#held.indexOf(lane), 1);
    this.#current = lane.first;
    this.#onTurn(lane);
  }
}
