import { backoffMs, pause } from './sqs-errors.ts';

/** Most entries of any batch of SQS and SNS. */
const mostEntries = 10;

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
  isSettled: boolean;
  lastError: unknown;
  /** Looks whether the request that carries it still has anybody waiting. */
  onSettled: (() => void) | undefined;
}

/**
 * Collects entries into batches, by count, by bytes and by time, and sends each entry until it is taken, refused
 * for good, or out of time. Of a batch only those entries are sent again that were not taken.
 */
export class Batcher<Entry> {
  readonly #settings: BatcherSettings<Entry>;
  readonly #unsettled = new Set<Promise<void>>();
  #waiting: Pending<Entry>[] = [];
  #requests = 0;
  #linger: NodeJS.Timeout | undefined;

  constructor(settings: BatcherSettings<Entry>) {
    this.#settings = settings;
  }

  /** Entries that wait for their batch to fill. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Resolves when the entry was taken. */
  add(entry: Entry, timeoutMs: number): Promise<void> {
    const promise = new Promise<void>((resolve, reject) => {
      const bytes = this.#settings.sizeOf(entry);
      const pending: Pending<Entry> = {
        entry,
        bytes,
        resolve,
        reject,
        isSettled: false,
        lastError: undefined,
        onSettled: undefined,
      };
      const expire = (): void =>
        settle(pending, this.#settings.timeoutError(timeoutMs, pending.lastError), true);
      const timer = setTimeout(expire, timeoutMs);
      pending.onSettled = () => clearTimeout(timer);
      this.#waiting.push(pending);
      this.#pump(false);
    });
    this.#unsettled.add(promise);
    const forget = (): boolean => this.#unsettled.delete(promise);
    promise.then(forget, forget);
    return promise;
  }

  /** Sends what waits, without waiting for more. */
  flush(): void {
    this.#pump(true);
  }

  /** Sends what waits and resolves when every entry is settled, one way or the other. */
  async drain(): Promise<void> {
    this.flush();
    while (this.#unsettled.size > 0) await Promise.allSettled(this.#unsettled);
  }

  #pump(isDue: boolean): void {
    while (this.#requests < this.#settings.maxRequests) {
      this.#waiting = this.#waiting.filter(({ isSettled }) => !isSettled);
      const { count, isFull } = this.#nextBatch();
      if (count === 0) break;
      if (!isFull && !isDue) {
        this.#linger ??= setTimeout(() => this.#onLingered(), this.#settings.lingerMs);
        return;
      }
      void this.#request(this.#waiting.splice(0, count));
    }
    if (this.#waiting.length > 0) return;
    clearTimeout(this.#linger);
    this.#linger = undefined;
  }

  #onLingered(): void {
    this.#linger = undefined;
    this.#pump(true);
  }

  #nextBatch(): { readonly count: number; readonly isFull: boolean } {
    let bytes = 0;
    let count = 0;
    for (const pending of this.#waiting) {
      if (count === mostEntries || (count > 0 && bytes + pending.bytes > this.#settings.maxBytes))
        return { count, isFull: true };
      bytes += pending.bytes;
      count += 1;
    }
    return { count, isFull: count === mostEntries };
  }

  async #request(batch: readonly Pending<Entry>[]): Promise<void> {
    this.#requests += 1;
    let left = batch;
    for (let attempt = 1; left.length > 0; attempt += 1) {
      left = await this.#try(left);
      // Kept out of the queue meanwhile: with one request at a time nothing may overtake them.
      if (left.length > 0) await pause(backoffMs(attempt));
      left = left.filter(({ isSettled }) => !isSettled);
    }
    this.#requests -= 1;
    this.#pump(this.#linger === undefined);
  }

  /** Resolves with the entries to be sent again. */
  async #try(batch: readonly Pending<Entry>[]): Promise<readonly Pending<Entry>[]> {
    const { requestTimeoutMs } = this.#settings;
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(), requestTimeoutMs);
    for (const pending of batch) {
      const { onSettled } = pending;
      pending.onSettled = () => {
        onSettled?.();
        if (batch.every(({ isSettled }) => isSettled)) controller.abort();
      };
    }
    const again: Pending<Entry>[] = [];
    try {
      const entries = batch.map(({ entry }) => entry);
      const failures = await this.#settings.send(entries, controller.signal);
      const failed = new Map(failures.map((failure) => [failure.index, failure]));
      for (const [index, pending] of batch.entries()) {
        const failure = failed.get(index);
        if (failure === undefined) settle(pending);
        else if (failure.isTransient) again.push(pending);
        else settle(pending, failure.error, true);
        pending.lastError = failure?.error;
      }
    } catch (error) {
      for (const pending of batch) pending.lastError = error;
      if (this.#settings.isTransient(error) || controller.signal.aborted) return batch;
      if (batch.length > 1 && this.#settings.isEntryAtFault(error)) {
        // Alone, each one shows whether it was the reason.
        for (const pending of batch) again.push(...(await this.#try([pending])));
        return again;
      }
      for (const pending of batch) settle(pending, error, true);
    } finally {
      clearTimeout(timer);
    }
    return again;
  }
}

function settle<Entry>(pending: Pending<Entry>, error?: unknown, isFailed = false): void {
  if (pending.isSettled) return;
  pending.isSettled = true;
  pending.onSettled?.();
  if (isFailed) pending.reject(error);
  else pending.resolve();
}
