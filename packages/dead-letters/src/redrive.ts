import {
  type Clock,
  type Delivery,
  type Logger,
  MelangeError,
  type Message,
  type MessagingBackend,
} from '@melange/core';
import { type Canary, watchCanaries } from './canary.ts';
import { type DeadLetterFilter, matcherOf } from './filter.ts';
import { LeftLetters, removeLeftOver } from './left-over.ts';
import { type DeadLetter, letterOf, redrivenCopy } from './letter.ts';
import { type Lock, withLock } from './lock.ts';
import { paceOf } from './pace.ts';
import { isRefused, reasonOf } from './publish-failure.ts';
import { scan } from './scan.ts';

/** What is moved, where and how fast. */
export interface RedriveOptions {
  /** Which letters. Default: all. */
  readonly filter?: DeadLetterFilter;
  /** Queue that they go to. Default: the queue that each failed in. */
  readonly to?: string;
  /** Most letters moved in a second. Default: no bound. */
  readonly maxPerSecond?: number;
  /** Letters that try the way. Default: none. */
  readonly canary?: Canary;
  /**
   * Letters that were dead-lettered after this time stay, so that what fails again is not moved again. To go on after a
   * redrive that was ended, say the time of that one again. The time in a letter is that of the machine that failed; a letter without
   * one is moved once. Default: now.
   */
  readonly until?: Date;
  /** Ends the redrive: letters on their way arrive, the others stay. */
  readonly signal?: AbortSignal;
  /** Told after each letter. */
  readonly onProgress?: (progress: RedriveProgress) => void;
}

/** How far a redrive is. */
export interface RedriveProgress {
  /** Letters that the filter meant, so far. */
  readonly matched: number;
  /** Letters that are confirmed in their queue and have left the dead-letter queue. */
  readonly moved: number;
  /** Letters that were not moved because something failed. */
  readonly failed: number;
}

/** A letter that did not move, or moved and did not leave. */
export interface RedriveFailure {
  /** Id of the message. */
  readonly messageId: string;
  /** What failed. */
  readonly error: unknown;
  /**
   * `not-moved`: it is in the dead-letter queue. `perhaps-in-both`: the broker did not confirm in time, or the letter could not be
   * removed: it is in the dead-letter queue and may be, with the same id, in the other one.
   */
  readonly state: 'not-moved' | 'perhaps-in-both';
}

/** How a redrive ended. */
export interface RedriveResult extends RedriveProgress {
  /** The first 1,000 failures. */
  readonly failures: readonly RedriveFailure[];
  /** `until` of this redrive: say it again to go on. */
  readonly until: Date;
  /** Whether the whole queue was gone through. */
  readonly isComplete: boolean;
  /** Why the redrive ended before its time. `undefined` when it did not. */
  readonly stopped: 'aborted' | 'canary failed' | 'canary not processed' | 'lock lost' | undefined;
}

const maxUnderWay = 100;
const maxFailures = 1_000;

interface Surroundings {
  readonly backend: MessagingBackend;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly maxHeld: number;
}

/**
 * Moves letters back. Each is confirmed in the other queue before it leaves this one: what is interrupted in between is in
 * both, with one id.
 *
 * @throws MelangeError `QUEUE_IN_USE` when another redrive of this queue is under way, `CONFIGURATION` for an option that makes no
 * sense, before anything is moved.
 */
export async function redrive(
  surroundings: Surroundings,
  queue: string,
  options: RedriveOptions,
): Promise<RedriveResult> {
  check(options);
  const move = new Redrive(surroundings, queue, options);
  return withLock(surroundings, queue, (lock) => move.run(lock));
}

function check({ maxPerSecond, canary, until, to }: RedriveOptions): void {
  const wrong = (text: string): never => {
    throw new MelangeError('CONFIGURATION', `redrive: ${text}`);
  };
  if (maxPerSecond !== undefined && !(maxPerSecond > 0 && Number.isFinite(maxPerSecond)))
    wrong(`"maxPerSecond" must be a number above 0, not ${maxPerSecond}.`);
  if (canary && !(Number.isSafeInteger(canary.first) && canary.first > 0))
    wrong(`"canary.first" must be a whole number above 0, not ${canary.first}.`);
  if (canary?.patienceMs !== undefined && !(canary.patienceMs >= 0 && Number.isFinite(canary.patienceMs)))
    wrong(`"canary.patienceMs" must be a number of at least 0, not ${canary.patienceMs}.`);
  if (until !== undefined && Number.isNaN(until.getTime())) wrong('"until" is not a valid date.');
  if (to === '') wrong('"to" is empty.');
}

class Redrive {
  readonly #surroundings: Surroundings;
  readonly #queue: string;
  readonly #options: RedriveOptions;
  readonly #until: Date;
  readonly #isMeant: (letter: DeadLetter) => boolean;
  readonly #pace: () => Promise<void> | undefined;
  readonly #ending = new AbortController();
  readonly #left = new LeftLetters();
  readonly #underWay = new Set<Promise<void>>();
  readonly #failures: RedriveFailure[] = [];
  #matched = 0;
  #moved = 0;
  #failed = 0;
  #stopped: RedriveResult['stopped'];
  #lock: Lock | undefined;
  /** Letters start in the order of the queue. */
  #lastStart: Promise<void> = Promise.resolve();

  constructor(surroundings: Surroundings, queue: string, options: RedriveOptions) {
    this.#surroundings = surroundings;
    this.#queue = queue;
    this.#options = options;
    this.#until = options.until ?? new Date(surroundings.clock.now());
    this.#isMeant = matcherOf(options.filter ?? {});
    this.#pace = paceOf(surroundings.clock, options.maxPerSecond);
  }

  async run(lock: Lock): Promise<RedriveResult> {
    const { signal, canary } = this.#options;
    const onAbort = (): void => this.#stop('aborted');
    const onLost = (): void => this.#stop('lock lost');
    signal?.addEventListener('abort', onAbort, { once: true });
    lock.lost.addEventListener('abort', onLost, { once: true });
    this.#lock = lock;
    try {
      if (signal?.aborted) this.#stop('aborted');
      if (canary !== undefined) await this.#sendCanaries(canary);
      const isComplete = this.#stopped === undefined && (await this.#moveAll(Number.POSITIVE_INFINITY));
      if (this.#stopped === undefined)
        await this.#left.sweep(this.#surroundings, this.#queue, this.#ending.signal);
      return {
        ...this.#progress(),
        failures: this.#failures,
        until: this.#until,
        isComplete: isComplete && this.#stopped === undefined,
        stopped: this.#stopped,
      };
    } finally {
      signal?.removeEventListener('abort', onAbort);
      lock.lost.removeEventListener('abort', onLost);
    }
  }

  async #sendCanaries(canary: Canary): Promise<void> {
    if (this.#stopped !== undefined) return;
    const sent = new Map<string, Message>();
    await this.#moveAll(canary.first, (message) => sent.set(message.id, message));
    if (this.#stopped !== undefined) return;
    if (this.#failed > 0) return this.#stop('canary failed');
    if (sent.size === 0) return;
    const fate = await watchCanaries(this.#surroundings, this.#queue, canary, sent, this.#ending.signal);
    if (fate !== 'processed') this.#stop(fate === 'failed' ? 'canary failed' : 'canary not processed');
  }

  /** Resolves with whether the whole queue was gone through. */
  async #moveAll(max: number, onMoved?: (message: Message) => void): Promise<boolean> {
    if (this.#ending.signal.aborted) return false;
    const { backend, maxHeld } = this.#surroundings;
    let left = max;
    const { isComplete } = await scan(
      backend,
      this.#queue,
      { maxHeld, signal: this.#ending.signal },
      (delivery) => {
        if (left === 0) return 'stop';
        const letter = letterOf(delivery.message);
        if (this.#left.has(letter)) return removeLeftOver(delivery);
        if (!this.#isNew(letter) || !this.#isMeant(letter)) return 'keep';
        left -= 1;
        this.#matched += 1;
        return this.#inTurn(delivery, letter, onMoved);
      },
    );
    return isComplete;
  }

  /** Whether it was here before the redrive began, and has not failed again since. */
  #isNew({ message, deadLetteredAt }: DeadLetter): boolean {
    if (this.#left.hasId(message.id)) return false;
    return deadLetteredAt === undefined || deadLetteredAt <= this.#until;
  }

  /** Resolves when the letter is settled. */
  async #inTurn(
    delivery: Delivery,
    letter: DeadLetter,
    onMoved: ((message: Message) => void) | undefined,
  ): Promise<void> {
    let start = (): void => undefined;
    const before = this.#lastStart;
    this.#lastStart = new Promise((resolve) => {
      start = resolve;
    });
    await before;
    let move: Promise<void> | undefined;
    try {
      while (this.#underWay.size >= maxUnderWay) await Promise.race(this.#underWay);
      if (!this.#ending.signal.aborted) await this.#pace();
      await this.#lock?.waiting();
      if (this.#ending.signal.aborted || delivery.isAborted === true) {
        this.#matched -= 1;
        await delivery.release();
        return;
      }
      move = this.#move(delivery, letter, onMoved);
      this.#underWay.add(move);
    } finally {
      start();
    }
    await move;
    this.#underWay.delete(move);
    this.#options.onProgress?.(this.#progress());
  }

  /** Confirmed there before it leaves here. */
  async #move(
    delivery: Delivery,
    letter: DeadLetter,
    onMoved: ((message: Message) => void) | undefined,
  ): Promise<void> {
    const { message, sourceQueue } = letter;
    const to = this.#options.to ?? sourceQueue;
    let state: RedriveFailure['state'] = 'not-moved';
    try {
      if (to === undefined)
        throw new MelangeError(
          'CONFIGURATION',
          `Message "${message.id}" does not say which queue it failed in. Name one with "to".`,
        );
      await this.#surroundings.backend.publishToQueue(to, [redrivenCopy(letter)]);
      state = 'perhaps-in-both';
      this.#left.add(letter);
      await delivery.acknowledge();
      this.#moved += 1;
      onMoved?.(message);
    } catch (error) {
      this.#failed += 1;
      if (!isRefused(error)) state = 'perhaps-in-both';
      if (this.#failures.length < maxFailures)
        this.#failures.push({ messageId: message.id, error: reasonOf(error), state });
      await delivery.release().catch((releaseError: unknown) => {
        this.#surroundings.logger.warn(
          'A dead letter could not be given back. It comes again when its lease or connection ends.',
          {
            queue: this.#queue,
            messageId: message.id,
            error: releaseError,
          },
        );
      });
    }
  }

  #stop(why: RedriveResult['stopped']): void {
    this.#stopped ??= why;
    this.#ending.abort();
  }

  #progress(): RedriveProgress {
    return { matched: this.#matched, moved: this.#moved, failed: this.#failed };
  }
}
