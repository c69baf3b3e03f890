import type { Troubles } from '@melange/backend-kit';
import type { KafkaSettings } from '../options.ts';
import type { Assignment } from './assignment.ts';
import { standingOf } from './standing.ts';

/** A commit may fail for a moment, as in a rebalance, in ms. */
const maxCommitFailureMs = 5_000;
/** How long a loss is shown, in ms. */
const lossShownForMs = 600_000;

/** What the consumer of a queue may fail at. */
const works = {
  receive: 'receiving from queue',
  reach: 'reaching the group of queue',
  commit: 'committing offsets of queue',
  'read again': 'reading records again of queue',
  finish: 'finishing messages of queue',
  keys: 'going on with a key of queue',
  partitions: 'going on with a partition of queue',
  keep: 'keeping records of queue',
} as const;

type Work = keyof typeof works;

/** Signs of life and of progress of one queue's consumer, and what does not work of it. */
export class Progress {
  readonly #queue: string;
  readonly #settings: KafkaSettings;
  readonly #troubles: Troubles;
  #aliveAt = performance.now();
  #progressAt = performance.now();
  #isStalled = false;
  #commitsFailSince: number | undefined;
  #commitsFailBecause = '';

  constructor(queue: string, settings: KafkaSettings, troubles: Troubles) {
    this.#queue = queue;
    this.#settings = settings;
    this.#troubles = troubles;
  }

  /** Since the last sign of life, in ms. */
  get silentMs(): number {
    return performance.now() - this.#aliveAt;
  }

  /** The group has answered, or is about to be asked. */
  markAlive(): void {
    this.#aliveAt = performance.now();
  }

  /** A message was finished, or the first one came after a time of nothing to do. */
  markProgress(): void {
    this.#progressAt = performance.now();
    if (this.#isStalled) this.#worked('finish');
    this.#isStalled = false;
  }

  failed(work: 'receive' | 'read again', error: unknown): void {
    this.#failed(work, reasonOf(error));
  }

  worked(work: 'receive' | 'read again'): void {
    this.#worked(work);
  }

  commitFailed(error: unknown): void {
    this.#commitsFailSince ??= performance.now();
    this.#commitsFailBecause = reasonOf(error);
  }

  committed(): void {
    this.#commitsFailSince = undefined;
    this.#worked('commit');
  }

  /** The broker deleted records that were not consumed. */
  lost(records: string): void {
    this.#failed('keep', `deleted before it was consumed: ${records}`, true);
    this.#troubles.rest(this.#subject('keep'), lossShownForMs);
  }

  /** Looks for whatever lasts too long. To be called about once a second. */
  look(assignment: Assignment | undefined): void {
    const { heartbeatIntervalMs, stalledAfterMs, maxTrackedOffsets } = this.#settings;
    const now = performance.now();
    const { silentMs } = this;
    this.#tell('reach', silentMs > heartbeatIntervalMs * 2 + 1_000 && `no answer for ${seconds(silentMs)} s`);
    const failingMs = now - (this.#commitsFailSince ?? now);
    if (failingMs > maxCommitFailureMs) this.#failed('commit', this.#commitsFailBecause);
    const lag = assignment?.lag ?? 0;
    if (lag === 0) this.markProgress();
    const standing = assignment && standingOf(assignment, stalledAfterMs, maxTrackedOffsets);
    this.#tell('keys', standing?.kind === 'key' && standing.detail, true);
    this.#tell('partitions', standing?.kind === 'partition' && standing.detail);
    const idleMs = now - this.#progressAt;
    if (idleMs <= stalledAfterMs) return;
    this.#isStalled = true;
    const because = standing === undefined ? '' : `: ${standing.detail}`;
    this.#failed('finish', `no message finished for ${seconds(idleMs)} s with a lag of ${lag}${because}`);
  }

  /** Nobody consumes the queue here any more. */
  forget(): void {
    for (const work of Object.keys(works) as Work[]) this.#troubles.forget(this.#subject(work));
  }

  #tell(work: Work, reason: string | false | undefined, isMinor = false): void {
    if (typeof reason === 'string') this.#failed(work, reason, isMinor);
    else this.#worked(work);
  }

  /** A minor trouble is one that a restart would not help: the rest of the queue goes on. */
  #failed(work: Work, reason: string, isMinor = false): void {
    this.#troubles.begin(this.#subject(work), reason, isMinor);
  }

  #worked(work: Work): void {
    this.#troubles.end(this.#subject(work));
  }

  #subject(work: Work): string {
    return `${works[work]} "${this.#queue}"`;
  }
}

function seconds(milliseconds: number): number {
  return Math.round(milliseconds / 1_000);
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
