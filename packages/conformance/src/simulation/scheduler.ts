import type { Clock } from '@melange/core';
import type { Random } from './random.ts';

interface Event {
  readonly at: number;
  /** Decides between events of one moment: drawn by the seed, so that their order is the schedule's. */
  readonly tie: number;
  readonly callback: () => void;
  isCancelled: boolean;
}

/**
 * Virtual time. Everything that happens later happens here: timers, answers, faults. Between two events every promise
 * that is ready goes on, as in a process; between processes the order is the seed's.
 */
export class Scheduler {
  readonly #random: Random;
  readonly #heap: Event[] = [];
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

  /** Calls back once after `delayMs`. The returned function cancels. */
  schedule(callback: () => void, delayMs: number): () => void {
    const event: Event = {
      at: this.#now + Math.max(0, delayMs),
      tie: this.#random.next(),
      callback,
      isCancelled: false,
    };
    this.#push(event);
    return () => {
      event.isCancelled = true;
    };
  }

  /** Lets time pass until `until`, or until `isOver`. */
  async run(until: number, isOver: () => boolean): Promise<void> {
    for (;;) {
      await settled();
      if (isOver()) return;
      const event = this.#pop();
      if (event === undefined || event.at > until) {
        if (event !== undefined) this.#push(event);
        this.#now = until;
        return;
      }
      if (event.isCancelled) continue;
      this.#now = event.at;
      this.count += 1;
      event.callback();
    }
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let place = heap.push(event) - 1;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (!isBefore(event, heap[parent] as Event)) break;
      heap[place] = heap[parent] as Event;
      place = parent;
    }
    heap[place] = event;
  }

  #pop(): Event | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (last === undefined || last === first) return first;
    let place = 0;
    for (;;) {
      let child = place * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Event, heap[child] as Event)) child += 1;
      if (!isBefore(heap[child] as Event, last)) break;
      heap[place] = heap[child] as Event;
      place = child;
    }
    heap[place] = last;
    return first;
  }
}

/** A process: it may end at any moment, and then nothing of it happens any more. Its wall clock may be set. */
export class SimulatedProcess implements Clock {
  readonly #scheduler: Scheduler;
  readonly name: string;
  isAlive = true;
  #offsetMs = 1_700_000_000_000;

  constructor(name: string, scheduler: Scheduler) {
    this.name = name;
    this.#scheduler = scheduler;
  }

  now(): number {
    return this.#offsetMs + this.#scheduler.now;
  }

  monotonicNow(): number {
    return this.#scheduler.now;
  }

  schedule(callback: () => void, delayMs: number): () => void {
    return this.#scheduler.schedule(() => {
      if (this.isAlive) callback();
    }, delayMs);
  }

  /** Sets the wall clock, as an administrator or a time server does. */
  step(byMs: number): void {
    this.#offsetMs += byMs;
  }

  /** Resolves after so many ms, and never when the process has ended by then. */
  pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.schedule(resolve, delayMs));
  }
}

/** Resolves when every promise that is ready has gone on. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function isBefore(one: Event, other: Event): boolean {
  return one.at < other.at || (one.at === other.at && one.tie < other.tie);
}
