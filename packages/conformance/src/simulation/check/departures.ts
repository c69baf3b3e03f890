import { DeadLetterHeader, type Message } from '@melange/core';
import type { Plan, PlannedMessage } from '../plan/plan.ts';
import { consumersOf, maxAttempts } from '../service/consumers.ts';
import type { SimulatedProcess } from '../time/simulated-process.ts';
import { failuresOf, type Ledger, type MessageRecord, successesOf } from './ledger.ts';

/**
 * How a message may leave its queue, checked at the moment that it does: "A message leaves the broker when every consumer
 * that accepts it has processed it, or when a confirmed copy is in the dead-letter queue."
 */
export class Departures {
  readonly #plan: Plan;
  readonly #ledger: Ledger;

  constructor(plan: Plan, ledger: Ledger) {
    this.#plan = plan;
    this.#ledger = ledger;
  }

  /** The broker takes a message from a publisher. */
  taken(message: Message): void {
    const record = this.#ledger.of(message.id);
    record.taken += 1;
    record.lastTakenAt = this.#ledger.now;
  }

  /** A message leaves its queue without a copy that takes its place. */
  leaves({ id }: Message, by: SimulatedProcess): void {
    const record = this.#ledger.of(id);
    const planned = this.#plannedOf(record);
    // Only what a user asked for in words gives it up: `earlyAck`, `alwaysAck`.
    if (planned === undefined || this.#plan.acknowledging !== 'done') return;
    if (record.runs.some(({ outcome }) => outcome === 'rejected') && !this.#plan.hasDeadLetterQueue) return;
    if (isNeverRun(planned)) {
      if (!this.#plan.hasDeadLetterQueue) return;
      this.#ledger.violate(
        'what cannot be processed is dead-lettered',
        `${id} (${planned.behaviour}) left without a copy in the dead-letter queue`,
      );
      return;
    }
    const done = successesOf(record);
    const missing = consumersOf(this.#plan, by.version).filter((name) => !done.has(name));
    if (missing.length === 0) return;
    this.#ledger.violate(
      'a message leaves when every consumer is done',
      `${id} left its queue, acknowledged by ${by.name}, though ${missing.join(' and ')} did not succeed`,
    );
  }

  /** A copy comes into the dead-letter queue. */
  deadLettered({ id, headers, content }: Message): void {
    const record = this.#ledger.of(id);
    const reason = headers[DeadLetterHeader.reason];
    record.deadLetters += 1;
    record.deadLetterReason = reason;
    record.deadLetteredAt ??= this.#ledger.now;
    const planned = this.#plannedOf(record);
    if (content !== record.content || headers.tenant !== `tenant of ${id}`)
      this.#ledger.violate('a dead-letter copy carries the original', `the copy of ${id} differs`);
    if (planned !== undefined && this.#mayBeDead(planned, record, reason)) return;
    this.#ledger.violate(
      'only what cannot succeed is dead-lettered',
      `${id} (${planned?.behaviour ?? 'foreign'}) was dead-lettered as "${reason ?? ''}" after ${failuresOf(record)} failed runs`,
    );
  }

  #mayBeDead({ behaviour }: PlannedMessage, record: MessageRecord, reason: string | undefined): boolean {
    switch (reason) {
      case 'rejected':
        return record.runs.some(({ outcome }) => outcome === 'rejected');
      case 'attempts exhausted':
        return failuresOf(record) >= maxAttempts;
      case 'undecodable':
      case 'unhandled':
        return behaviour === reason;
      case 'crashed':
        // In vain so often: a process that ended, or was cut off, each time.
        return (
          behaviour === 'end-process' || this.#plan.messages.some((one) => one.behaviour === 'end-process')
        );
      default:
        return false;
    }
  }

  #plannedOf({ place }: MessageRecord): PlannedMessage | undefined {
    return place === undefined ? undefined : this.#plan.messages[place];
  }
}

function isNeverRun({ behaviour }: PlannedMessage): boolean {
  return behaviour === 'undecodable' || behaviour === 'unhandled';
}
