import { type Clock, type Logger, systemClock } from '@melange/core';
import { type DeadLetterFilter, DeadLetters, type RedriveResult } from '@melange/dead-letters';
import type { AuditView, ChangeRequest, JobView } from './api.ts';
import type { LookTarget } from './looks.ts';
import type { AuditEntry } from './options.ts';

/** A change that was asked for, checked. */
export interface Change
  extends Pick<ChangeRequest, 'action' | 'maxPerSecond' | 'canaryFirst' | 'canaryPatienceMs'> {
  readonly target: LookTarget;
  readonly user: string;
  /** `undefined`: all that are in the queue. */
  readonly ids: readonly string[] | undefined;
  /** Which letters, for people. */
  readonly letters: string;
  /** Number of letters that are meant, as far as the last look tells. */
  readonly expected: number | undefined;
}

interface Job {
  view: JobView;
  readonly ending: AbortController;
  readonly done: Promise<void>;
}

const maxKept = 100;

/** Redrives and discards that were asked for: at most one at once for a queue. */
export class Jobs {
  readonly #audit: (entry: AuditEntry) => void;
  readonly #onEnd: (target: LookTarget) => void;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #jobs = new Map<string, Job>();
  readonly #entries: AuditView[] = [];
  #count = 0;

  constructor({
    audit,
    onEnd,
    logger,
    clock = systemClock,
  }: {
    readonly audit: (entry: AuditEntry) => void;
    readonly onEnd: (target: LookTarget) => void;
    readonly logger: Logger;
    readonly clock?: Clock;
  }) {
    this.#audit = audit;
    this.#onEnd = onEnd;
    this.#logger = logger;
    this.#clock = clock;
  }

  /** The latest first. */
  views(): readonly JobView[] {
    return [...this.#jobs.values()].map(({ view }) => view).reverse();
  }

  /** Changes of this process, the latest first. */
  entries(): readonly AuditView[] {
    return [...this.#entries].reverse();
  }

  /** `undefined` when another change of the queue is under way. */
  begin(change: Change): JobView | undefined {
    const { target, action, user } = change;
    const isBusy = [...this.#jobs.values()].some(
      ({ view }) =>
        view.endedAt === undefined && view.broker === target.broker && view.queue === target.queue,
    );
    if (isBusy) return undefined;
    this.#count += 1;
    const id = String(this.#count);
    const ending = new AbortController();
    const view: JobView = {
      id,
      action,
      broker: target.broker,
      queue: target.queue,
      letters: change.letters,
      user,
      startedAt: this.#clock.now(),
      endedAt: undefined,
      moved: 0,
      failed: 0,
      expected: change.expected,
      result: undefined,
    };
    const job: Job = { view, ending, done: Promise.resolve().then(() => this.#run(job, change)) };
    this.#jobs.set(id, job);
    for (const [oldest, { view: old }] of this.#jobs) {
      if (this.#jobs.size <= maxKept) break;
      if (old.endedAt !== undefined) this.#jobs.delete(oldest);
    }
    this.#tell(user, action, job, undefined);
    return view;
  }

  /** Whether there is such a job under way; letters on their way arrive, the others stay. */
  cancel(id: string, user: string): boolean {
    const job = this.#jobs.get(id);
    if (job === undefined || job.view.endedAt !== undefined) return false;
    this.#tell(user, 'cancel', job, undefined);
    job.ending.abort();
    return true;
  }

  /** Ends what is under way; resolves when each letter is in its place. */
  async close(): Promise<void> {
    for (const { ending } of this.#jobs.values()) ending.abort();
    await Promise.all([...this.#jobs.values()].map(({ done }) => done));
  }

  async #run(job: Job, change: Change): Promise<void> {
    const { action, user, target } = change;
    let result: string;
    try {
      result = action === 'redrive' ? await this.#redrive(job, change) : await this.#discard(job, change);
    } catch (error) {
      this.#logger.error(`dashboard: ${action} failed`, { queue: target.queue, error });
      result = `failed: ${error instanceof Error ? error.message : String(error)}`;
    }
    job.view = { ...job.view, endedAt: this.#clock.now(), result };
    this.#tell(user, action, job, result);
    this.#onEnd(target);
  }

  async #redrive(job: Job, change: Change): Promise<string> {
    const { maxPerSecond, canaryFirst, canaryPatienceMs, target } = change;
    const result = await new DeadLetters({ backend: target.backend }).redrive(target.queue, {
      filter: filterOf(change),
      signal: job.ending.signal,
      ...(maxPerSecond !== undefined && { maxPerSecond }),
      ...(canaryFirst !== undefined && {
        canary: {
          first: canaryFirst,
          ...(canaryPatienceMs !== undefined && { patienceMs: canaryPatienceMs }),
        },
      }),
      onProgress: ({ moved, failed }) => {
        job.view = { ...job.view, moved, failed };
      },
    });
    job.view = { ...job.view, moved: result.moved, failed: result.failed };
    return redriveText(result);
  }

  async #discard(job: Job, change: Change): Promise<string> {
    const { target } = change;
    const { count } = await new DeadLetters({ backend: target.backend }).discard(target.queue, {
      filter: filterOf(change),
      signal: job.ending.signal,
    });
    job.view = { ...job.view, moved: count };
    return `${count} discarded${job.ending.signal.aborted ? ', then cancelled' : ''}`;
  }

  #tell(user: string, action: AuditEntry['action'], { view }: Job, result: string | undefined): void {
    const at = this.#clock.now();
    const { broker, queue, letters } = view;
    this.#entries.push({ at, user, action, broker, queue, letters, result });
    if (this.#entries.length > maxKept) this.#entries.shift();
    try {
      this.#audit({ at: new Date(at), user, action, broker, queue, letters, result });
    } catch (error) {
      this.#logger.error('dashboard: the audit log failed', { error });
    }
  }
}

function filterOf({ ids }: Change): DeadLetterFilter {
  return ids === undefined ? {} : { ids };
}

function redriveText({ moved, failed, stopped, failures }: RedriveResult): string {
  const parts = [`${moved} moved`];
  if (failed > 0) {
    const [first] = failures;
    parts.push(
      `${failed} failed (${first?.error instanceof Error ? first.error.message : 'no reason known'})`,
    );
  }
  if (stopped !== undefined) parts.push(stopped === 'aborted' ? 'then cancelled' : `stopped: ${stopped}`);
  return parts.join(', ');
}
