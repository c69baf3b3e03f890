import { backoffMs, pause } from '../errors.ts';

/** Most entries of any batch of SQS and SNS. */
const maxEntries = 10;

/** One entry of a batch that was not taken. */
export interface EntryFailure {
  /** Its place in the batch. */
  readonly index: number;
  readonly error: unknown;
  /** Whether it may be taken later. */
  readonly isTransient: boolean;
}

/** What a batcher needs to know of its requests. */
export interface BatcherSettings<Entry> {
  /** Sends one batch; resolves with the entries that failed, rejects when the whole request did. */
  send(entries: readonly Entry[], signal: AbortSignal): Promise<readonly EntryFailure[]>;
  /** Whether a whole request that failed may succeed later. */
  isTransient(error: unknown): boolean;
  /** Whether a refused request of several entries may be the fault of one of them. */
  isEntryAtFault(error: unknown): boolean;
  /** What an entry rejects with that was not taken in time. */
  timeoutError(timeoutMs: number, lastError: unknown): unknown;
  sizeOf(entry: Entry): number;
  /** Most bytes of a batch. */
  readonly maxBytes: number;
  /** Longest wait for a batch to fill, in ms. */
  readonly lingerMs: number;
  /** Longest wait for the answer to one request, in ms. */
  readonly requestTimeoutMs: number;
  /** Requests at the same time; with 1, batches are sent in order, each after the one before it was taken. */
  readonly maxRequests: number;
}

interface Pending<Entry> {
  readonly entry: Entry;
  readonly bytes: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
  deadline: NodeJS.Timeout | undefined;
  isSettled: boolean;
  lastError: unknown;
  /** The request that carries it now. */
  carrier: Carrier | undefined;
}

/** A request that is under way, and how many of its entries still wait for it. */
interface Carrier {
  readonly controller: AbortController;
  waiting: number;
}

/**
 * Collects entries into batches, by count, by bytes and by time, and sends each entry until it is taken, refused
 * for good, or out of time. Of a batch only those entries are sent again that were not taken.
 */
export class Batcher<Entry> {
  readonly #settings: BatcherSettings<Entry>;
  #unsettled = 0;
  /** Told when nothing is unsettled. */
  #idle: (() => void)[] = [];
  #waiting: Pending<Entry>[] = [];
  /** Those of `#waiting` before it are on their way, or out of time. */
  #head = 0;
  #requests = 0;
  #linger: NodeJS.Timeout | undefined;

  constructor(settings: BatcherSettings<Entry>) {
    this.#settings = settings;
  }

  /** Whether every entry is settled. */
  get isIdle(): boolean {
    return this.#unsettled === 0;
  }

  /** Resolves when the entry was taken. */
  add(entry: Entry, timeoutMs: number): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      const bytes = this.#settings.sizeOf(entry);
      const pending: Pending<Entry> = {
        entry,
        bytes,
        resolve,
        reject,
        deadline: undefined,
        isSettled: false,
        lastError: undefined,
        carrier: undefined,
      };
      pending.deadline = setTimeout(() => this.#expire(pending, timeoutMs), timeoutMs);
      this.#unsettled += 1;
      this.#waiting.push(pending);
      this.#pump(false);
    });
  }

  /** Sends what waits, without waiting for more. */
  flush(): void {
    this.#pump(true);
  }

  /** Sends what waits and resolves when every entry is settled, one way or the other. */
  async drain(): Promise<void> {
    this.flush();
    while (this.#unsettled > 0) await new Promise<void>((resolve) => this.#idle.push(resolve));
  }

  #pump(isDue: boolean): void {
    while (this.#requests < this.#settings.maxRequests) {
      const { batch, end, isFull } = this.#nextBatch();
      if (batch.length === 0) break;
      if (!isFull && !isDue) {
        this.#linger ??= setTimeout(() => this.#onLingered(), this.#settings.lingerMs);
        return;
      }
      this.#advance(end);
      void this.#request(batch);
    }
    if (this.#head < this.#waiting.length) return;
    clearTimeout(this.#linger);
    this.#linger = undefined;
  }

  #onLingered(): void {
    this.#linger = undefined;
    this.#pump(true);
  }

  /** The batch that comes next, and where those begin that come after it. */
  #nextBatch(): { readonly batch: Pending<Entry>[]; readonly end: number; readonly isFull: boolean } {
    let first = this.#head;
    while (this.#waiting[first]?.isSettled === true) first += 1;
    if (first !== this.#head) this.#advance(first);
    const batch: Pending<Entry>[] = [];
    let bytes = 0;
    let end = this.#head;
    for (; end < this.#waiting.length && batch.length < maxEntries; end += 1) {
      const pending = this.#waiting[end] as Pending<Entry>;
      if (pending.isSettled) continue;
      if (batch.length > 0 && bytes + pending.bytes > this.#settings.maxBytes)
        return { batch, end, isFull: true };
      bytes += pending.bytes;
      batch.push(pending);
    }
    return { batch, end, isFull: batch.length === maxEntries };
  }

  /** Drops what is before it, now and then: from the front of an array each time would cost its whole length. */
  #advance(head: number): void {
    this.#head = head;
    if (head < this.#waiting.length && (head < 1_024 || head * 2 < this.#waiting.length)) return;
    this.#waiting = this.#waiting.slice(head);
    this.#head = 0;
  }

  async #request(batch: readonly Pending<Entry>[]): Promise<void> {
    this.#requests += 1;
    let left = batch;
    for (let attempt = 1; left.length > 0; attempt += 1) {
      const again = await this.#try(left);
      // Kept out of the queue meanwhile: with one request at a time nothing may overtake them.
      if (again.some(({ isSettled }) => !isSettled)) await pause(backoffMs(attempt));
      left = again.filter(({ isSettled }) => !isSettled);
    }
    this.#requests -= 1;
    this.#pump(this.#linger === undefined);
  }

  /** Resolves with the entries to be sent again. */
  async #try(batch: readonly Pending<Entry>[]): Promise<readonly Pending<Entry>[]> {
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(), this.#settings.requestTimeoutMs);
    const carrier: Carrier = { controller, waiting: batch.length };
    for (const pending of batch) pending.carrier = carrier;
    const end = (): void => {
      clearTimeout(timer);
      for (const pending of batch) pending.carrier = undefined;
    };
    const again: Pending<Entry>[] = [];
    try {
      const failures = await this.#settings.send(
        batch.map(({ entry }) => entry),
        controller.signal,
      );
      end();
      const failed = new Map(failures.map((failure) => [failure.index, failure]));
      for (const [index, pending] of batch.entries()) {
        const failure = failed.get(index);
        pending.lastError = failure?.error;
        if (failure === undefined) {
          if (this.#settle(pending)) pending.resolve();
        } else if (failure.isTransient) again.push(pending);
        else this.#fail(pending, failure.error);
      }
    } catch (error) {
      end();
      for (const pending of batch) pending.lastError = error;
      if (this.#settings.isTransient(error) || controller.signal.aborted) return batch;
      if (batch.length > 1 && this.#settings.isEntryAtFault(error)) {
        // Alone, each one shows whether it was the reason.
        for (const pending of batch) again.push(...(await this.#try([pending])));
        return again;
      }
      for (const pending of batch) this.#fail(pending, error);
    }
    return again;
  }

  #expire(pending: Pending<Entry>, timeoutMs: number): void {
    this.#fail(pending, this.#settings.timeoutError(timeoutMs, pending.lastError));
  }

  #fail(pending: Pending<Entry>, error: unknown): void {
    if (this.#settle(pending)) pending.reject(error);
  }

  /** Whether it was not settled before. A request that nobody waits for any more is given up. */
  #settle(pending: Pending<Entry>): boolean {
    if (pending.isSettled) return false;
    pending.isSettled = true;
    clearTimeout(pending.deadline);
    const { carrier } = pending;
    if (carrier !== undefined) carrier.waiting -= 1;
    if (carrier?.waiting === 0) carrier.controller.abort();
    this.#unsettled -= 1;
    if (this.#unsettled === 0) for (const tell of this.#idle.splice(0)) tell();
    return true;
  }
}
