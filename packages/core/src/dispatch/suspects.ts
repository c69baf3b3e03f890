import type { Clock } from '../contract/clock.ts';
import type { Lane } from './lanes.ts';
import type { Work } from './work.ts';

/** From so many redeliveries on, a message is suspected to end the process that handles it. */
const suspectFrom = 3;
/** Pause before the first suspect starts, in ms: those that a broker hands out together are to be chosen from. */
const gatherMs = 200;

/** What the suspects of a queue need of its loop. */
export interface SuspectsSettings {
  readonly clock: Clock;
  /** 0 to 1. */
  readonly random: () => number;
  readonly maxRedeliveries: number;
  /** The first works of these lanes may start now, as far as they are admitted. */
  readonly resume: (lanes: readonly Lane<Work>[]) => void;
  /** Whether no handler runs. */
  readonly isQuiet: () => boolean;
  /**
   * Sends these lanes back to the broker, unrun, and what else may not stay, and resolves when the broker has all. They
   * come again a little later, with as many redeliveries as they have. Nothing where the broker would count that against
   * them.
   */
  readonly sendBack: ((lanes: readonly Lane<Work>[]) => Promise<void>) | undefined;
  /** The same for one lane. */
  readonly sendBackOne: (lane: Lane<Work>) => Promise<void>;
}

/**
 * Messages of a queue that may end their process. They run one at a time, each settled before the next one starts, so
 * that the innocent ones among them finish: the least suspected first, and of equals one by chance, for the guilty one
 * would else always come before those behind it.
 *
 * That leaves some in hand, unrun, whenever the guilty one ends the process, and the broker counts that against them as
 * well. So a message that has come again for half of `maxRedeliveries` runs alone: nothing else runs meanwhile, and no
 * other such message is at hand. Whatever ends the process then is that message; no other one gets beyond the half by it.
 */
export class Suspects {
  readonly #settings: SuspectsSettings;
  readonly #aloneFrom: number;
  /** Whose first works wait: suspects, and all others while one of them is to run alone. */
  readonly #held: Lane<Work>[] = [];
  #current: Work | undefined;
  /** The lane of a current one that is to run alone, until it may start. */
  #chosen: Lane<Work> | undefined;
  #isClosed = false;
  #endGathering: (() => void) | undefined;

  constructor(settings: SuspectsSettings) {
    this.#settings = settings;
    this.#aloneFrom = Math.max(suspectFrom, Math.ceil(settings.maxRedeliveries / 2));
  }

  /** Whether nothing starts but the current one: a suspect waits to run alone, or does. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Whether the first work of the lane may start now. Otherwise it waits here for its turn, or goes back to the broker. */
  admits(lane: Lane<Work>): boolean {
    const work = lane.first as Work;
    if (work === this.#current || work.redeliveries > this.#settings.maxRedeliveries) return true;
    if (!this.#isClosed && work.redeliveries < suspectFrom) return true;
    if (this.mayNotStay(work)) {
      void this.#settings.sendBackOne(lane);
      return false;
    }
    this.#held.push(lane);
    if (this.#runsAlone(work)) this.#isClosed = true;
    if (this.#current === undefined)
      this.#endGathering ??= this.#settings.clock.schedule(() => this.#next(), gatherMs);
    return false;
  }

  /** Whether the work is to be elsewhere while another one runs alone. */
  mayNotStay(work: Work): boolean {
    const current = this.#current;
    if (current === undefined || work === current || this.#settings.sendBack === undefined) return false;
    return this.#isClosed && this.#runsAlone(current) && this.#runsAlone(work);
  }

  /** The work is over for now: the next suspect may start. */
  finished(work: Work): void {
    if (work !== this.#current) return;
    this.#current = undefined;
    this.#chosen = undefined;
    this.#next();
  }

  /** No handler runs any more. */
  quiet(): void {
    if (this.#isClosed && this.#current === undefined && this.#endGathering === undefined) this.#next();
  }

  /** Lets all go that wait for their turn, never to be called again. */
  drain(): readonly Lane<Work>[] {
    this.#endGathering?.();
    const waiting = this.#held.splice(0);
    if (this.#chosen !== undefined) waiting.push(this.#chosen);
    this.#chosen = undefined;
    return waiting;
  }

  #runsAlone({ redeliveries }: Work): boolean {
    return redeliveries >= this.#aloneFrom && redeliveries <= this.#settings.maxRedeliveries;
  }

  #next(): void {
    this.#endGathering = undefined;
    if (!this.#isClosed) {
      const lane = this.#choose(this.#held);
      if (lane === undefined) return;
      this.#current = lane.first;
      this.#settings.resume([lane]);
      return;
    }
    if (!this.#settings.isQuiet()) return;
    const lane = this.#choose(this.#held.filter(({ first }) => this.#runsAlone(first as Work)));
    if (lane === undefined) {
      this.#isClosed = false;
      this.#settings.resume(this.#held.splice(0));
      return;
    }
    this.#current = lane.first;
    this.#chosen = lane;
    void this.#startAlone(lane);
  }

  async #startAlone(lane: Lane<Work>): Promise<void> {
    const others: Lane<Work>[] = [];
    if (this.#settings.sendBack !== undefined) {
      for (const held of this.#held.splice(0))
        (this.#runsAlone(held.first as Work) ? others : this.#held).push(held);
      await this.#settings.sendBack(others);
    }
    // It was let go meanwhile.
    if (this.#chosen !== lane) return;
    this.#chosen = undefined;
    this.#settings.resume([lane]);
  }

  /** One of the least suspected, which leaves the lanes that are held. */
  #choose(lanes: readonly Lane<Work>[]): Lane<Work> | undefined {
    const least = lanes.reduce((min, { first }) => Math.min(min, (first as Work).redeliveries), Infinity);
    const equals = lanes.filter(({ first }) => first?.redeliveries === least);
    const lane = equals[Math.floor(this.#settings.random() * equals.length)];
    if (lane !== undefined) this.#held.splice(this.#held.indexOf(lane), 1);
    return lane;
  }
}
