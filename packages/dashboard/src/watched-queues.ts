import { type Clock, type DispatcherCounters, type Logger, systemClock } from '@melange/core';
import type { QueueView, Sample } from './api.ts';
import type { DashboardQueue } from './options.ts';

/** Samples that are kept of each queue: half an hour of one every 5 seconds. */
const maxSamples = 360;
/** So long after somebody looked, brokers are not asked any more. */
const watchedForMs = 30_000;

interface Watched {
  readonly queue: DashboardQueue;
  readonly broker: string;
  readonly samples: Sample[];
  deadLetterQueue: string | undefined;
  trouble: string | undefined;
  processed: number | undefined;
}

/** Asks brokers for the depths of queues, as long as somebody looks: an unwatched dashboard costs no request. */
export class WatchedQueues {
  readonly #watched: readonly Watched[];
  readonly #counters: () => Readonly<Record<string, DispatcherCounters>>;
  readonly #everyMs: number;
  readonly #logger: Logger;
  readonly #clock: Clock;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #sampling: Promise<void> | undefined;
  #cancelNext: (() => void) | undefined;
  #isClosed = false;

  constructor(
    queues: readonly (DashboardQueue & { readonly broker: string })[],
    {
      counters,
      everyMs,
      logger,
      clock = systemClock,
    }: {
      readonly counters: (() => Readonly<Record<string, DispatcherCounters>>) | undefined;
      readonly everyMs: number;
      readonly logger: Logger;
      readonly clock?: Clock;
    },
  ) {
    this.#watched = queues.map((queue) => ({
      queue,
      broker: queue.broker,
      samples: [],
      deadLetterQueue: queue.deadLetterQueue,
      trouble: undefined,
      processed: undefined,
    }));
    this.#counters = counters ?? (() => ({}));
    this.#everyMs = everyMs;
    this.#logger = logger;
    this.#clock = clock;
  }

  /** The queues as they were seen last; waits for the first sample, and for that after nobody looked. */
  async views(): Promise<readonly QueueView[]> {
    const isResumed = this.#clock.monotonicNow() - this.#lookedAt > watchedForMs;
    this.#lookedAt = this.#clock.monotonicNow();
    if (isResumed) await this.#sample();
    return this.#watched.map(({ queue, broker, deadLetterQueue, samples, trouble }) => ({
      broker,
      name: queue.name,
      deadLetterQueue,
      samples: [...samples],
      trouble,
    }));
  }

  /** Asks the brokers now, such as after letters were moved. */
  refresh(): Promise<void> {
    return this.#sample();
  }

  /** Ends asking; resolves when nothing is under way. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelNext?.();
    await this.#sampling;
  }

  #sample(): Promise<void> {
    this.#sampling ??= this.#sampleAll().finally(() => {
      this.#sampling = undefined;
      this.#cancelNext?.();
      this.#cancelNext = undefined;
      const isWatched = this.#clock.monotonicNow() - this.#lookedAt <= watchedForMs;
      if (isWatched && !this.#isClosed)
        this.#cancelNext = this.#clock.schedule(() => void this.#sample(), this.#everyMs);
    });
    return this.#sampling;
  }

  async #sampleAll(): Promise<void> {
    if (this.#isClosed) return;
    const counters = this.#counters();
    await Promise.all(this.#watched.map((watched) => this.#sampleOne(watched, counters[watched.queue.name])));
  }

  async #sampleOne(watched: Watched, counters: DispatcherCounters | undefined): Promise<void> {
    const { backend, name, deadLetterQueue } = watched.queue;
    try {
      const described = await backend.describeQueue(name);
      if (!described.exists) throw new Error(`There is no queue "${name}".`);
      watched.deadLetterQueue = deadLetterQueue ?? described.deadLetterQueue;
      const dead =
        watched.deadLetterQueue === undefined
          ? undefined
          : await backend.describeQueue(watched.deadLetterQueue);
      const at = this.#clock.now();
      watched.samples.push({
        at,
        depth: described.depth,
        inFlight: described.inFlight,
        dead: dead?.depth,
        processedPerSecond: this.#rate(watched, counters, at),
      });
      if (watched.samples.length > maxSamples) watched.samples.shift();
      watched.trouble = undefined;
    } catch (error) {
      const trouble = error instanceof Error ? error.message : String(error);
      if (watched.trouble === undefined)
        this.#logger.warn('dashboard: cannot describe a queue', { queue: name, error });
      watched.trouble = trouble;
    }
  }

  #rate(watched: Watched, counters: DispatcherCounters | undefined, at: number): number | undefined {
    if (counters === undefined) return undefined;
    const before = watched.processed;
    const last = watched.samples.at(-1);
    watched.processed = counters.acknowledged;
    if (before === undefined || last === undefined || at <= last.at || counters.acknowledged < before)
      return undefined;
    return ((counters.acknowledged - before) * 1_000) / (at - last.at);
  }
}
