import { type Clock, MelangeError } from '@melange/core';
import type { BatchLimits, Destination, Fault, Outgoing, PublishDriver } from '../driver.ts';
import type { Troubles } from '../health/troubles.ts';
import { reconnectDelayMs } from '../reconnect-delay.ts';
import type { DestinationTrouble } from './destination-trouble.ts';
import { missing } from './publish-call.ts';
import { unlessAbandoned } from './unless-abandoned.ts';
import { WaitingLine } from './waiting-line.ts';

/** What sending needs besides the messages. */
export interface SendSettings<Encoded> {
  readonly driver: Pick<PublishDriver<Encoded>, 'bytesOf' | 'limitsOf' | 'send'>;
  readonly clock: Clock;
  readonly troubles: Troubles;
  /** 0 to 1, for jitter. */
  readonly random: () => number;
  readonly explain: (error: unknown) => Fault;
  /** Resolves when the broker can be asked; rejects when it cannot be now. */
  readonly ready: () => Promise<void> | undefined;
}

/** A batch without an answer for this long is a trouble, in ms. */
const maxAnswerMs = 3_000;

/** Who hears what became of a message. */
export interface Sender {
  /** Of the monotonic clock, in ms. */
  readonly deadline: number;
  /**
   * Until when a message waits, of the monotonic clock, in ms.
   *
   * @param since when it was sent; of one that was not, when the destination last took a message.
   */
  deadlineFrom(since: number): number;
  /** The broker has taken a message. */
  confirm(): void;
  /** A message was not taken, and will not be. */
  fail(messageId: string, error: unknown): void;
}

/** One message of a call, from its publish to its answer. One object, for one is made for every message. */
interface Pending<Encoded> extends Outgoing<Encoded> {
  readonly call: Sender;
  readonly bytes: number;
  isSettled: boolean;
}

/** Messages under way together. */
interface Batch<Encoded> {
  /** Without an answer, in order. */
  left: readonly Pending<Encoded>[];
  /** Of the monotonic clock, in ms. */
  readonly sentAt: number;
  readonly abandoned: AbortController;
  /** Why it was not taken yet, or not all of it. */
  fault: Unavailable | undefined;
  /** Whether it is to be sent again. */
  isForAgain: boolean;
  /** Resolves when each of its messages has an answer. */
  over: Promise<void> | undefined;
}

type Unavailable = Extract<Fault, { kind: 'unavailable' }>;

/**
 * Sends everything that goes to one destination, or to one lane of it, so that one in trouble delays, repeats or fails no
 * message of another one.
 *
 * Invariants: messages are sent in the order in which they came. A message is sent again only when the broker did
 * not take it or its answer was lost, always with the same id, and never after its deadline. With one batch under way
 * nothing overtakes a message that is sent again; with several of them, and `inOrder`, nothing that was not under way with it.
 */
export class DestinationPublisher<Encoded> {
  readonly #destination: Destination;
  readonly #settings: SendSettings<Encoded>;
  readonly #limits: BatchLimits;
  readonly #trouble: DestinationTrouble;
  readonly #underWay = new Set<Batch<Encoded>>();
  readonly #waiting = new WaitingLine<Pending<Encoded>>();
  #unsettled = 0;
  #isPumpDue = false;
  #cancelLinger: (() => void) | undefined;
  #expiry: { readonly at: number; readonly cancel: () => void } | undefined;
  /** When the last message was taken, of the monotonic clock, in ms. */
  #takenAt = 0;
  /** Why the last batch was not taken, for the deadlines of those that wait behind it. */
  #fault: Unavailable | undefined;

  /** @param trouble shared by the lanes of a destination. */
  constructor(destination: Destination, settings: SendSettings<Encoded>, trouble: DestinationTrouble) {
    this.#destination = destination;
    this.#settings = settings;
    this.#limits = settings.driver.limitsOf(destination);
    this.#trouble = trouble;
  }

  /** Whether it has nothing to do and may be forgotten. */
  get isIdle(): boolean {
    return this.#unsettled === 0 && this.#underWay.size === 0;
  }

  /** Takes one message of a call. Its answer goes to the call. */
  add(call: Sender, id: string, encoded: Encoded, delayMs: number): void {
    const bytes = this.#settings.driver.bytesOf(encoded);
    this.#waiting.add({ id, encoded, delayMs, call, bytes, isSettled: false });
    this.#unsettled += 1;
    this.#expireBy(call.deadline);
    if (this.#isPumpDue) return;
    this.#isPumpDue = true;
    // Messages of one turn go together.
    queueMicrotask(() => {
      this.#isPumpDue = false;
      this.#pump(false);
    });
  }

  /** @param isDue whether a batch that is not full has waited long enough. */
  #pump(isDue: boolean): void {
    const { maxUnderWay = 1, lingerMs = 0 } = this.#limits;
    while (this.#underWay.size < maxUnderWay && !this.#isHeldUp) {
      // A quiet publisher's first message goes at once; those that come while it is under way may share a batch.
      const mayWait = lingerMs > 0 && !isDue && this.#underWay.size > 0;
      const left = this.#waiting.nextBatch(this.#limits, mayWait);
      if (left === undefined) {
        if (mayWait && !this.#waiting.isEmpty) this.#linger(lingerMs);
        return;
      }
      const batch: Batch<Encoded> = {
        left,
        sentAt: this.#settings.clock.monotonicNow(),
        abandoned: new AbortController(),
        fault: undefined,
        isForAgain: false,
        over: undefined,
      };
      batch.over = this.#deliver(batch);
    }
  }

  /** Whether a new batch would overtake one that is to be sent again. */
  get #isHeldUp(): boolean {
    if (this.#limits.inOrder !== true) return false;
    for (const { isForAgain } of this.#underWay) if (isForAgain) return true;
    return false;
  }

  #linger(lingerMs: number): void {
    this.#cancelLinger ??= this.#settings.clock.schedule(() => {
      this.#cancelLinger = undefined;
      this.#pump(true);
    }, lingerMs);
  }

  /** Sends the batch until each of its messages has an answer. Never rejects. */
  async #deliver(batch: Batch<Encoded>): Promise<void> {
    this.#underWay.add(batch);
    for (let attempt = 1; batch.left.length > 0; attempt += 1) {
      await this.#send(batch);
      if (batch.left.length > 0) {
        batch.isForAgain = true;
        await this.#pause(batch, reconnectDelayMs(attempt, this.#settings.random()));
        if (this.#limits.inOrder === true) await this.#earlierThan(batch);
      }
      batch.left = batch.left.filter(({ isSettled }) => !isSettled);
    }
    this.#underWay.delete(batch);
    this.#pump(this.#cancelLinger === undefined);
  }

  /** Leaves in the batch the messages that are to be sent again. */
  async #send(batch: Batch<Encoded>): Promise<void> {
    const { driver, clock, ready } = this.#settings;
    const sent = batch.left;
    const cancel = clock.schedule(
      () => this.#trouble.begin(this, `no answer for ${maxAnswerMs / 1_000} s`),
      maxAnswerMs,
    );
    try {
      const connecting = ready();
      if (connecting !== undefined) await unlessAbandoned(connecting, batch.abandoned.signal);
      let untold = sent.length;
      const taken = (place: number): void => {
        this.#takenAt = clock.monotonicNow();
        untold -= 1;
        // Before its publisher hears of it, who may ask for health at once.
        if (untold === 0) this.#trouble.end(this);
        this.#settle(sent[place] as Pending<Encoded>);
      };
      const sending = driver.send(this.#destination, sent, batch.abandoned.signal, taken);
      const results =
        sending instanceof Promise ? await unlessAbandoned(sending, batch.abandoned.signal) : sending;
      if (results === undefined || results.includes(undefined)) {
        this.#takenAt = clock.monotonicNow();
        this.#fault = undefined;
      }
      batch.left =
        results === undefined
          ? []
          : sent.filter((pending, place) => this.#isForAgain(batch, pending, results[place]));
      if (results === undefined) for (const pending of sent) this.#settle(pending);
      if (batch.left.length === 0) this.#trouble.end(this);
    } catch (error) {
      const fault = this.#settings.explain(error);
      if (fault.kind === 'refused' && !batch.abandoned.signal.aborted)
        this.#trouble.begin(this, fault.error.message);
      batch.left = sent.filter((pending) => this.#isForAgain(batch, pending, error));
    } finally {
      cancel();
    }
  }

  /** Settles a message by its answer. True when the answer is to send it again. */
  #isForAgain(batch: Batch<Encoded>, pending: Pending<Encoded>, error: unknown): boolean {
    if (pending.isSettled) return false;
    if (error === undefined) {
      this.#settle(pending);
      return false;
    }
    const fault = this.#settings.explain(error);
    if (fault.kind === 'unavailable') {
      this.#fault = batch.fault = fault;
      this.#trouble.begin(this, fault.reason);
      return true;
    }
    this.#settle(pending, fault.kind === 'missing' ? missing(this.#destination) : fault.error);
    return false;
  }

  #settle(pending: Pending<Encoded>, error?: unknown): void {
    if (pending.isSettled) return;
    pending.isSettled = true;
    this.#unsettled -= 1;
    if (error === undefined) pending.call.confirm();
    else pending.call.fail(pending.id, error);
    if (this.#unsettled > 0) return;
    this.#trouble.rest(this);
    this.#expiry?.cancel();
    this.#expiry = undefined;
  }

  /** Resolves when the batches that were sent before are over. */
  async #earlierThan(batch: Batch<Encoded>): Promise<void> {
    for (const earlier of this.#underWay) {
      if (earlier === batch) return;
      await earlier.over;
    }
  }

  /** Ends early when nobody waits for a message of the batch any more. */
  async #pause({ abandoned: { signal } }: Batch<Encoded>, delayMs: number): Promise<void> {
    if (signal.aborted) return;
    await new Promise<void>((resolve) => {
      const end = (): void => {
        cancel();
        signal.removeEventListener('abort', end);
        resolve();
      };
      const cancel = this.#settings.clock.schedule(end, delayMs);
      signal.addEventListener('abort', end);
    });
  }

  /** One timer for all messages, at the earliest deadline. */
  #expireBy(deadline: number): void {
    if (this.#expiry !== undefined && this.#expiry.at <= deadline) return;
    this.#expiry?.cancel();
    const { clock } = this.#settings;
    const cancel = clock.schedule(() => this.#expire(), Math.max(0, deadline - clock.monotonicNow()));
    this.#expiry = { at: deadline, cancel };
  }

  #expire(): void {
    this.#expiry = undefined;
    const now = this.#settings.clock.monotonicNow();
    let next = Number.POSITIVE_INFINITY;
    const look = (pending: Pending<Encoded>, since: number, fault: Unavailable | undefined): void => {
      if (pending.isSettled) return;
      const deadline = pending.call.deadlineFrom(since);
      if (deadline > now) next = Math.min(next, deadline);
      else this.#settle(pending, lateError(fault));
    };
    for (const { left, sentAt, fault } of this.#underWay)
      for (const pending of left) look(pending, sentAt, fault);
    this.#waiting.review((pending) => look(pending, this.#takenAt, this.#fault));
    if (next < Number.POSITIVE_INFINITY) this.#expireBy(next);
    for (const { left, abandoned } of this.#underWay) {
      if (left.every(({ isSettled }) => isSettled)) abandoned.abort();
    }
  }
}

function lateError(fault: Unavailable | undefined): MelangeError {
  const { reason, code = 'PUBLISH_TIMEOUT' } = fault ?? {};
  const why = reason === undefined ? '' : ` (${reason})`;
  return new MelangeError(code, `Not confirmed within the deadline${why}.`);
}
