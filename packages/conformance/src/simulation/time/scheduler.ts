import type { Random } from './random.ts';

/** Whose events happen: a process, which may end or stand still. */
export interface EventOwner {
  readonly isAlive: boolean;
  /** Until when it stands still, in virtual ms. */
  readonly frozenUntil: number;
  /** Callbacks that are due later. */
  timers: number;
  /** It does something. */
  step(): void;
}

/** Something that will happen. */
export interface ScheduledEvent {
  at: number;
  /** Decides between events of one moment: drawn by the seed, so that their order is the schedule's. */
  readonly tie: number;
  readonly callback: () => void;
  /** Whose it is; nothing of a server's. */
  readonly process: EventOwner | undefined;
  isCancelled: boolean;
}

/**
 * After so many events, and before so much time passes, in ms, a turn of Node's own loop ends: what waits for a turn and
 * not for time goes on.
 */
const eventsPerTurn = 32;
const msPerTurn = 20;

/**
 * Virtual time. Everything that happens later happens here: timers, answers, faults. Between two events every promise
 * that is ready goes on, as in a process; between processes the order is the seed's.
 */
export class Scheduler {
  readonly #random: Random;
  readonly #heap: ScheduledEvent[] = [];
  #now = 0;
  /** Events that have happened. */
  count = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  /** Milliseconds since the beginning. */
  get now(): number {
    return this.#now;
  }

  /**
   * Calls back once after `delayMs`. The returned function cancels.
   *
   * @param process whose event it is: it does not happen when the process has ended, and waits while it stands still.
   */
  schedule(callback: () => void, delayMs: number, process?: EventOwner): () => void {
    const at = this.#now + Math.max(0, Math.ceil(delayMs));
    const event: ScheduledEvent = { at, tie: this.#random.next(), callback, process, isCancelled: false };
    this.#push(event);
    if (process !== undefined) process.timers += 1;
    return () => {
      if (event.isCancelled) return;
      event.isCancelled = true;
      if (process !== undefined) process.timers -= 1;
    };
  }

  /** Lets time pass until `until`, or until `isOver`. */
  async run(until: number, isOver: () => boolean): Promise<void> {
    for (;;) {
      await this.#settled();
      if (isOver()) return;
      const event = this.#pop();
      if (event === undefined || event.at > until) {
        if (event !== undefined) this.#push(event);
        this.#now = until;
        return;
      }
      if (event.isCancelled) continue;
      this.#now = event.at;
      const { process } = event;
      if (process !== undefined && process.frozenUntil > event.at) {
        event.at = process.frozenUntil;
        this.#push(event);
        continue;
      }
      event.isCancelled = true;
      if (process !== undefined) {
        process.timers -= 1;
        if (!process.isAlive) continue;
        process.step();
        if (!process.isAlive) continue;
      }
      this.count += 1;
      event.callback();
    }
  }

  /** Resolves when every promise that is ready has gone on. */
  #settled(): Promise<void> {
    const next = this.#heap[0];
    const isTurnOver =
      this.count % eventsPerTurn === 0 || next === undefined || next.at - this.#now >= msPerTurn;
    return new Promise((resolve) => {
      if (isTurnOver) setImmediate(resolve);
      else process.nextTick(resolve);
    });
  }

  #push(event: ScheduledEvent): void {
    const heap = this.#heap;
    let place = heap.push(event) - 1;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (!isBefore(event, heap[parent] as ScheduledEvent)) break;
      heap[place] = heap[parent] as ScheduledEvent;
      place = parent;
    }
    heap[place] = event;
  }

  #pop(): ScheduledEvent | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (last === undefined || last === first) return first;
    let place = 0;
    for (;;) {
      let child = place * 2 + 1;
      if (child >= heap.length) break;
      if (
        child + 1 < heap.length &&
        isBefore(heap[child + 1] as ScheduledEvent, heap[child] as ScheduledEvent)
      )
        child += 1;
      if (!isBefore(heap[child] as ScheduledEvent, last)) break;
      heap[place] = heap[child] as ScheduledEvent;
      place = child;
    }
    heap[place] = last;
    return first;
  }
}

function isBefore(one: ScheduledEvent, other: ScheduledEvent): boolean {
  return one.at < other.at || (one.at === other.at && one.tie < other.tie);
}
