import type { Entry } from './entry.ts';

/** Records that may have ended their process: one of a queue runs at a time, the others wait here. */
export class Suspects {
  #waiting: Entry[] = [];
  #current: Entry | undefined;
  /** Of the current one. Before it may run, it has to be written down that it does. */
  #state: 'chosen' | 'ready' | 'running' = 'chosen';

  /** How many have not been handed over. */
  get size(): number {
    const chosen = this.#current !== undefined && this.#state !== 'running' ? 1 : 0;
    return this.#waiting.length + chosen;
  }

  add(entry: Entry): void {
    this.#waiting.push(entry);
  }

  /** Those that are no suspects any more. They are forgotten here. */
  takeInnocent(): Entry[] {
    if (this.#waiting.length === 0) return [];
    const innocent = this.#waiting.filter(({ tracker }) => !tracker.crashes.isSearching);
    if (innocent.length > 0)
      this.#waiting = this.#waiting.filter(({ tracker }) => tracker.crashes.isSearching);
    return innocent;
  }

  /** Chooses the next to run, unless one does: first the one that ran when a process ended, then in their order. */
  choose(): Entry | undefined {
    if (this.#current !== undefined) return undefined;
    let index = -1;
    for (const [at, entry] of this.#waiting.entries())
      if (index < 0 || isBefore(entry, this.#waiting[index] as Entry)) index = at;
    if (index < 0) return undefined;
    [this.#current] = this.#waiting.splice(index, 1);
    this.#state = 'chosen';
    return this.#current;
  }

  /** It is written down that the chosen one runs. */
  ready(entry: Entry): void {
    if (entry === this.#current) this.#state = 'ready';
  }

  /** The one that may run, once. */
  take(): Entry | undefined {
    if (this.#state !== 'ready') return undefined;
    this.#state = 'running';
    return this.#current;
  }

  /** It was settled, or given back. */
  done(entry: Entry): void {
    if (entry !== this.#current) return;
    this.#current = undefined;
    entry.tracker.crashes.ranAlone(entry.offset);
  }

  clear(): void {
    this.#waiting = [];
    this.#current = undefined;
  }
}

function isBefore(left: Entry, right: Entry): boolean {
  const ofLeft = left.tracker.crashes.redeliveriesOf(left.offset);
  const ofRight = right.tracker.crashes.redeliveriesOf(right.offset);
  return ofLeft === ofRight ? left.sequence < right.sequence : ofLeft > ofRight;
}
