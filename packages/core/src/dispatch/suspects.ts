import type { Clock } from '../contract/clock.ts';
import type { Lane } from './lanes.ts';
import type { Work } from './work.ts';

/** From so many redeliveries on, a message is suspected to end the process that handles it. */
const suspectFrom = 3;
/** Pause before the first suspect starts, in ms, so that the choice is among all that the broker delivers together. */
const gatherMs = 200;

/** What `Suspects` needs from the scheduler. */
export interface SuspectsSettings {
  readonly clock: Clock;
  /** 0 to 1. */
  readonly random: () => number;
  readonly maxRedeliveries: number;
  /** Called with lanes whose first message may start now, if it is admitted. */
  readonly resume: (lanes: readonly Lane<Work>[]) => void;
  /** Whether no handler runs. */
  readonly isQuiet: () => boolean;
  /**
   * Sends the messages of these lanes, and all others that may not stay, back to the broker without running them. They are
   * delivered again a little later, with the same `redeliveries`. Resolves when the broker has them. `undefined` for a
   * broker that would count this as an attempt.
   */
  readonly sendBack: ((lanes: readonly Lane<Work>[]) => Promise<void>) | undefined;
  /** The same for one lane. */
  readonly sendBackOne: (lane: Lane<Work>) => Promise<void>;
}

/**
 * Messages of a queue that may end their process. They run one at a time, each settled before the next one starts, so
 * that the harmless ones among them finish. The one with the fewest redeliveries is first; of equals one is drawn at
 * random, or else the guilty one could always be in front of the same others.
 *
 * When the guilty one ends the process, others are in this process without having run, and the broker counts that against
 * them too. So a message runs alone from half of `maxRedeliveries` on: no other handler of the queue runs, and no other such
 * message is in this process. If the process ends then, it was that message, and the count of no other one passes the half.
 */
export class Suspects {
  readonly #settings: SuspectsSettings;
  readonly #aloneFrom: number;
  /** Lanes whose first message waits: suspects, and all others while a suspect is to run alone. */
  readonly #held: Lane<Work>[] = [];
  #current: Work | undefined;
  /** The lane of the suspect that runs alone next, until it starts. */
  #chosen: Lane<Work> | undefined;
  #isClosed = false;
  #endGathering: (() => void) | undefined;

  constructor(settings: SuspectsSettings) {
    this.#settings = settings;
    this.#aloneFrom = Math.max(suspectFrom, Math.ceil(settings.maxRedeliveries / 2));
  }

  /** Whether a suspect runs alone, or waits to: nothing else starts. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Whether the first message of the lane may start now. Otherwise it waits here, or is sent back to the broker. */
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

  /** Whether the message must leave this process, because another one runs alone. */
  mayNotStay(work: Work): boolean {
    const current = this.#current;
    if (current === undefined || work === current || this.#settings.sendBack === undefined) return false;
    return this.#isClosed && this.#runsAlone(current) && this.#runsAlone(work);
  }

  /** The attempt is over: the next suspect may start. */
  finished(work: Work): void {
    if (work !== this.#current) return;
    this.#current = undefined;
    this.#chosen = undefined;
    this.#next();
  }

  /** Called when no handler runs any more. */
  quiet(): void {
    if (this.#isClosed && this.#current === undefined && this.#endGathering === undefined) this.#next();
  }

  /** Returns all lanes that wait. Nothing may be called after it. */
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
    // `drain` or `finished` was called meanwhile.
    if (this.#chosen !== lane) return;
    this.#chosen = undefined;
    this.#settings.resume([lane]);
  }

  /** Takes one of the lanes with the fewest redeliveries out of those that are held. */
  #choose(lanes: readonly Lane<Work>[]): Lane<Work> | undefined {
    const least = lanes.reduce((min, { first }) => Math.min(min, (first as Work).redeliveries), Infinity);
    const equals = lanes.filter(({ first }) => first?.redeliveries === least);
    const lane = equals[Math.floor(this.#settings.random() * equals.length)];
    if (lane !== undefined) this.#held.splice(this.#held.indexOf(lane), 1);
    return lane;
  }
}
