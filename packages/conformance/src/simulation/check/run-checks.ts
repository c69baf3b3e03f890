import type { ConsumeContext } from '@melange/core';
import { deduplicationKey } from '@melange/core/adapter';
import { queue } from '../broker/names.ts';
import type { Plan } from '../plan/plan.ts';
import type { CacheUse } from '../service/cache.ts';
import { maxAttempts } from '../service/consumers.ts';
import type { SimulatedProcess } from '../time/simulated-process.ts';
import { failuresOf, type Ledger, type MessageRecord, type RunRecord } from './ledger.ts';

interface ActiveRun extends RunRecord {
  readonly record: MessageRecord;
  /** Fence of the claim that it runs under. */
  readonly fence: string | undefined;
}

/** What must hold whenever a handler begins or ends, in one process. */
export class RunChecks {
  readonly #plan: Plan;
  readonly #ledger: Ledger;
  readonly #process: SimulatedProcess;
  readonly #use: CacheUse;
  readonly #active = new Set<ActiveRun>();
  /** Claims under which a consumer has run. */
  readonly #usedFences = new Set<string>();
  /** Messages that failed and hold up the others of their key, with the time. */
  readonly #standing = new Map<string, { readonly record: MessageRecord; readonly since: number }>();

  constructor(plan: Plan, ledger: Ledger, process: SimulatedProcess, use: CacheUse) {
    this.#plan = plan;
    this.#ledger = ledger;
    this.#process = process;
    this.#use = use;
  }

  /** A handler begins. */
  begin(consumer: string, context: ConsumeContext): RunRecord {
    const record = this.#ledger.of(context.messageId);
    const run: ActiveRun = {
      consumer,
      process: this.#process.name,
      attempt: context.attempt,
      startedAt: this.#ledger.now,
      endedAt: undefined,
      outcome: undefined,
      isCutOff: false,
      signal: this.#looksAtSignal(record) ? context.signal : undefined,
      record,
      fence: this.#fenceOf(consumer, record),
    };
    this.#ledger.tell(this.#process.name, () => `${consumer} runs ${record.id}, attempt ${context.attempt}`);
    this.#concurrencyIsABound();
    this.#attemptsCountRuns(run);
    this.#signalIsFresh(run);
    if (this.#plan.cache === 'retry') this.#runsUnderAClaim(run);
    if (this.#keepsOrder) this.#orderIsKept(run);
    this.#active.add(run);
    record.runs.push(run);
    return run;
  }

  /** A handler ends. */
  end(run: RunRecord, id: string, outcome: RunRecord['outcome']): void {
    run.endedAt = this.#ledger.now;
    run.outcome = outcome;
    this.#active.delete(run as ActiveRun);
    const { fence, record } = run as ActiveRun;
    this.#ledger.tell(this.#process.name, () => `${run.consumer} ends ${id}: ${outcome}`);
    this.#stands(run as ActiveRun);
    if (this.#plan.cache === 'none' || fence === undefined) return;
    const asked = `${outcome === 'succeeded' ? 'confirm' : 'release'} ${fence}`;
    // Whatever the handler came to, its claim is given up at once: that takes no time.
    const { name } = this.#process;
    this.#process.schedule(() => {
      if (!this.#use.asked.has(asked) && !this.#ledger.isDisturbed([name], run.startedAt, this.#ledger.now))
        this.#ledger.violate('a claim is confirmed or released', `${asked} was not asked for ${record.id}`);
    }, 1);
  }

  /** What failed comes again in its place, but where messages leave whatever becomes of them. */
  get #keepsOrder(): boolean {
    return this.#plan.ordering !== 'none' && this.#plan.acknowledging === 'done';
  }

  /** Handlers of one loop never exceed its concurrency. */
  #concurrencyIsABound(): void {
    const bound = this.#plan.ordering === 'queue' ? 1 : this.#plan.concurrency;
    // A loop that was stopped leaves handlers behind that do not stop; the next loop counts by itself.
    if (this.#active.size < bound || this.#plan.consuming === 'until-empty') return;
    this.#ledger.violate('concurrency is a bound', `${this.#active.size + 1} handlers run, ${bound} may`);
  }

  /** "A run that failed, and nothing else: `attempt` is 1 + the failures before." */
  #attemptsCountRuns({ attempt, record }: ActiveRun): void {
    const failures = failuresOf(record);
    // With several consumers, one attempt may be several runs that failed.
    const isCalm = this.#plan.faults.length === 0 && this.#plan.consumers === 1;
    if (attempt <= failures + 1 && (!isCalm || attempt === failures + 1)) return;
    this.#ledger.violate(
      'attempts count runs that failed',
      `${record.id} ran as attempt ${attempt} after ${failures} failed runs`,
    );
  }

  /** Each run has a signal of its own, which was not aborted for a run before. */
  #signalIsFresh({ signal, record, startedAt }: ActiveRun): void {
    if (signal === undefined) return;
    const isKnown = record.runs.some((other) => other.signal === signal);
    const isDisturbed = this.#ledger.isDisturbed([this.#process.name], startedAt, startedAt);
    if (!isKnown && (!signal.aborted || isDisturbed)) return;
    this.#ledger.violate(
      "a signal is one run's",
      `${record.id} runs with a signal that ${isKnown ? 'another run had' : 'is aborted'}`,
    );
  }

  /** "The worker claims the key: one of many claimers wins." */
  #runsUnderAClaim({ fence, record, consumer }: ActiveRun): void {
    if (fence === undefined || this.#usedFences.has(fence))
      this.#ledger.violate(
        'a handler runs under a claim',
        `${consumer} runs ${record.id} without a claim of its own`,
      );
    if (fence !== undefined) this.#usedFences.add(fence);
    for (const other of record.runs) {
      if (other.consumer !== consumer || other.endedAt !== undefined || other.isCutOff) continue;
      // One that was told to stop, or does not look, may run on.
      if (other.signal === undefined || other.signal.aborted) continue;
      if (this.#ledger.isDisturbed([other.process], other.startedAt, this.#ledger.now)) continue;
      this.#ledger.violate(
        'at most one holds a claim',
        `${consumer} runs ${record.id} in ${this.#process.name} while it runs in ${other.process}`,
      );
    }
  }

  /** "Messages of one key are processed strictly in order, a failed one holding up its key." */
  #orderIsKept(run: ActiveRun): void {
    const lane = this.#laneOf(run.record);
    if (lane === undefined) return;
    const { name } = this.#process;
    for (const other of this.#active) {
      if (other.record === run.record || this.#laneOf(other.record) !== lane) continue;
      if (this.#ledger.isDisturbed([name], other.startedAt, this.#ledger.now)) continue;
      this.#ledger.violate(
        'keys keep their order',
        `${run.record.id} runs beside ${other.record.id} of its key`,
      );
    }
    const standing = this.#standing.get(lane);
    if (standing === undefined || standing.record === run.record) return;
    // Another process took it over, and was done with it.
    if (standing.record.deadLetters > 0 || !this.#hasFailure(standing.record, '')) return;
    if (this.#ledger.isDisturbed([name], standing.since, this.#ledger.now)) return;
    this.#ledger.violate(
      'keys keep their order',
      `${run.record.id} overtakes ${standing.record.id}, which failed`,
    );
  }

  #stands({ record, outcome, consumer, attempt }: ActiveRun): void {
    if (!this.#keepsOrder) return;
    const lane = this.#laneOf(record);
    if (lane === undefined) return;
    const isDead =
      record.runs.some((run) => run.outcome === 'rejected') ||
      (outcome === 'failed' && attempt >= maxAttempts && this.#plan.hasDeadLetterQueue);
    if (!isDead && outcome !== 'succeeded') this.#standing.set(lane, { record, since: this.#ledger.now });
    // Of several consumers one may have failed, and the message stands with it.
    else if (isDead || this.#standing.get(lane)?.record !== record || !this.#hasFailure(record, consumer))
      this.#standing.delete(lane);
  }

  /** Whether the last run of another consumer is to be repeated. */
  #hasFailure({ runs }: MessageRecord, consumer: string): boolean {
    const last = new Map(runs.map((run) => [run.consumer, run.outcome]));
    last.delete(consumer);
    return [...last.values()].some((outcome) => outcome === 'failed' || outcome === 'deferred');
  }

  #laneOf({ key }: MessageRecord): string | undefined {
    return this.#plan.ordering === 'queue' ? '' : key;
  }

  #looksAtSignal({ place }: MessageRecord): boolean {
    const behaviour = place === undefined ? undefined : this.#plan.messages[place]?.behaviour;
    return behaviour === 'slow' || behaviour === 'long' || behaviour === 'hang-once';
  }

  #fenceOf(consumer: string, { id }: MessageRecord): string | undefined {
    return this.#use.claims.get(deduplicationKey(queue, { name: consumer }, id))?.fence;
  }
}
