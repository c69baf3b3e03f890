import type { Again, Intake, PushSource, SubscriptionContext } from '@melange/backend-kit';
import { type DeadLetterOptions, MelangeError, type Message } from '@melange/core';
import type { Assignment } from './assignment.ts';
import type { Copies } from './copies.ts';
import type { Entry } from './entry.ts';
import { TakenRecord } from './taken-record.ts';

/** A record that is handed over to an intake. */
export type QueueRecord = TakenRecord<QueueIntake, Assignment>;

/** What an intake tells its queue. */
export interface IntakeContext {
  readonly copies: Copies;
  /** A record is finished, and to be committed. */
  readonly onFinished: () => void;
  /** There is room for another record, or a record to hand over. */
  readonly onRoom: () => void;
  /** It takes no more. */
  readonly onStopped: (intake: QueueIntake) => void;
  /** It takes no more, and nothing of it is unsettled. */
  readonly onClosed: (intake: QueueIntake) => Promise<void>;
  /** A message is too large for a copy in the retry topic. */
  readonly onKept: (messageId: string) => void;
}

/** Longest delay that a timer keeps. */
const maxTimerMs = 2_147_483_647;

/** A subscription of a queue: what it was handed, and how that is settled. The subscriptions of a queue share a member of its group. */
export class QueueIntake implements PushSource<QueueRecord> {
  readonly untilEmpty: boolean;
  readonly #maxInFlight: number;
  readonly #intake: Intake<QueueRecord>;
  readonly #context: IntakeContext;
  #isOpen = true;
  #unsettled = 0;

  constructor(
    { maxInFlight, untilEmpty }: SubscriptionContext,
    intake: Intake<QueueRecord>,
    context: IntakeContext,
  ) {
    this.#maxInFlight = maxInFlight;
    this.untilEmpty = untilEmpty;
    this.#intake = intake;
    this.#context = context;
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  get unsettled(): number {
    return this.#unsettled;
  }

  get hasRoom(): boolean {
    return this.#isOpen && this.#unsettled < this.#maxInFlight;
  }

  handOver(entry: Entry, assignment: Assignment): void {
    const taken: QueueRecord = new TakenRecord(entry, assignment, this);
    assignment.busy.add(taken);
    this.#unsettled += 1;
    this.#intake.deliver(taken);
  }

  /** The partitions of some records are lost. */
  takenBack(
    lost: readonly QueueRecord[],
    why: string,
    reason: 'partition-revoked' | 'connection-lost',
  ): void {
    for (const taken of lost) this.#over(taken);
    this.#intake.takenBack(lost, why, reason);
  }

  /** The queue holds nothing more for this process. */
  empty(): void {
    this.#intake.empty();
  }

  /** The queue does not exist any more, for an intake that ends with it. */
  gone(error: MelangeError): void {
    this.#isOpen = false;
    this.#intake.lost(error);
    this.#context.onStopped(this);
  }

  acknowledge(batch: readonly QueueRecord[]): undefined {
    for (const taken of batch) this.finish(taken);
  }

  /** There is nothing to wait for: the offset is committed with others. */
  finish(taken: QueueRecord): void {
    taken.assignment.finish(taken.entry);
    this.#context.onFinished();
    this.#over(taken);
  }

  /** The record is finished when its copy is confirmed. */
  async retry(taken: QueueRecord, again: Again): Promise<void> {
    try {
      await this.#context.copies.retry(taken.entry.record, again);
    } catch (error) {
      if (!MelangeError.is(error, 'MESSAGE_TOO_LARGE')) throw error;
      this.#keep(taken, again);
      return;
    }
    this.finish(taken);
  }

  async deadLetter(
    taken: QueueRecord,
    deadLetterQueue: string,
    copy: Message,
    { reason }: DeadLetterOptions,
  ): Promise<void> {
    await this.#context.copies.deadLetter(taken.entry.record, deadLetterQueue, copy);
    this.finish(taken);
    if (reason === 'crashed') taken.entry.tracker.crashes.found();
  }

  release(batch: readonly QueueRecord[]): void {
    for (const taken of batch) {
      taken.assignment.putBack(taken.entry);
      this.#over(taken);
    }
  }

  stop(): void {
    this.#isOpen = false;
    this.#context.onStopped(this);
  }

  close(): Promise<void> {
    return this.#context.onClosed(this);
  }

  /** A record that fills its topic has no room for a copy with more headers: it waits here, and its key with it. */
  #keep(taken: QueueRecord, { delayMs, attempt, redeliveries }: Again): void {
    const { entry, assignment, message } = taken;
    this.#context.onKept(message.id);
    entry.again = { attempt, redeliveries };
    const due = (): void => {
      assignment.putBack(entry);
      this.#context.onRoom();
    };
    setTimeout(due, Math.min(delayMs, maxTimerMs));
    this.#over(taken);
  }

  /** This process has nothing to do with the handing-over any more. */
  #over(taken: QueueRecord): void {
    if (taken.isOver) return;
    taken.isOver = true;
    this.#unsettled -= 1;
    taken.assignment.leaveBusy(taken);
    this.#context.onRoom();
  }
}
