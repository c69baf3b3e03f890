import type { Health } from '@melange/core';
import type { KafkaSettings } from '../options.ts';

/** What does not work for longer than this needs attention, in ms. */
const failingTooLongMs = 30_000;

/** A commit may fail for a moment, as in a rebalance, in ms. */
const commitMayFailForMs = 5_000;
/** How long a loss shows, in ms. */
const lossShowsForMs = 600_000;

/** Something that does not work. */
interface Failing {
  readonly because: string;
  readonly since: number;
}

/** What of its work a consumer may fail at. */
type Work = 'receive' | 'copy' | 'commit' | 'read again';

/** What of a queue stands still, while the rest of it may go on. */
export interface Standing {
  readonly kind: 'key' | 'partition';
  readonly detail: string;
  readonly forMs: number;
}

/** Signs of life and of work of one queue's consumer. */
export class Progress {
  readonly #queue: string;
  readonly #settings: KafkaSettings;
  readonly #failing = new Map<Work, Failing>();
  #aliveAt = performance.now();
  #progressAt = performance.now();
  #lost: { readonly what: string; readonly at: number } | undefined;

  constructor(queue: string, settings: KafkaSettings) {
    this.#queue = queue;
    this.#settings = settings;
  }

  /** Since the last sign of life, in ms. */
  get silentMs(): number {
    return performance.now() - this.#aliveAt;
  }

  isAlive(): void {
    this.#aliveAt = performance.now();
  }

  /** A message was finished, or the first one came after a time of nothing to do. */
  made(): void {
    this.#progressAt = performance.now();
  }

  /** Whether it is the first failure since it worked. */
  failed(work: Work, error: unknown): boolean {
    const known = this.#failing.get(work);
    const because = error instanceof Error ? error.message : String(error);
    this.#failing.set(work, { because, since: known?.since ?? performance.now() });
    return known === undefined;
  }

  /** Whether it had failed. */
  worked(work: Work): boolean {
    return this.#failing.delete(work);
  }

  /** The broker deleted what was not consumed. */
  lost(what: string): void {
    this.#lost = { what, at: performance.now() };
  }

  /** @param standing the key or partition that stands still for longer than `stalledAfterMs`. */
  health(lag: number, standing?: Standing | undefined): Health {
    const { sessionTimeoutMs, heartbeatIntervalMs, stalledAfterMs } = this.#settings;
    const { silentMs } = this;
    const receive = this.#failing.get('receive');
    if (receive !== undefined) return this.#told(receive.since, `not receiving: ${receive.because}`);
    const silence = `no answer of Kafka for ${seconds(silentMs)} s`;
    if (silentMs > sessionTimeoutMs) return this.#says('unhealthy', silence);
    if (silentMs > heartbeatIntervalMs * 2 + 1_000) return this.#says('degraded', silence);
    const copy = this.#failing.get('copy');
    if (copy !== undefined) return this.#told(copy.since, `a copy was not confirmed: ${copy.because}`);
    const commit = this.#failing.get('commit');
    if (commit !== undefined && performance.now() - commit.since > commitMayFailForMs)
      return this.#told(commit.since, `offsets not committed: ${commit.because}`);
    const again = this.#failing.get('read again');
    if (again !== undefined)
      return this.#told(again.since, `records that waited for their key not read again: ${again.because}`);
    if (lag === 0) this.made();
    const idleMs = performance.now() - this.#progressAt;
    if (idleMs > stalledAfterMs)
      return this.#told(
        this.#progressAt + stalledAfterMs,
        `no message finished for ${seconds(idleMs)} s with a lag of ${lag}${standing === undefined ? '' : `: ${standing.detail}`}`,
      );
    // Of a key, a restart would help nothing, and stop the others.
    if (standing?.kind === 'key') return this.#says('degraded', standing.detail);
    if (standing !== undefined)
      return this.#told(performance.now() - standing.forMs + stalledAfterMs, standing.detail);
    if (this.#lost !== undefined && performance.now() - this.#lost.at < lossShowsForMs)
      return this.#says('degraded', `deleted before it was consumed: ${this.#lost.what}`);
    return { status: 'healthy' };
  }

  /** Of a trouble that began at that time of `performance.now()`. */
  #told(since: number, detail: string): Health {
    return this.#says(performance.now() - since > failingTooLongMs ? 'unhealthy' : 'degraded', detail);
  }

  #says(status: Health['status'], detail: string): Health {
    return { status, detail: `queue "${this.#queue}": ${detail}` };
  }
}

function seconds(milliseconds: number): number {
  return Math.round(milliseconds / 1_000);
}
