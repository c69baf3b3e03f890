import type { Received } from '@melange/backend-kit';
import type { Message } from '@melange/core';
import type { Slotted } from '@melange/core/adapter';
import { Reading } from '../wire/message.ts';
import type { Entry } from './entry.ts';

/** One handing-over of a record. Over when it was settled, given back, or lost with its partition. */
export class TakenRecord<Intake = unknown, Assignment = unknown> implements Received, Slotted {
  readonly message: Message;
  readonly attempt: number;
  readonly redeliveries: number;
  readonly entry: Entry;
  readonly assignment: Assignment;
  readonly intake: Intake;
  slot = -1;
  isOver = false;

  constructor(entry: Entry, assignment: Assignment, intake: Intake) {
    const reading = new Reading(entry.record);
    this.message = reading.message(entry.key);
    const { attempt, redeliveries } = entry.again ?? reading;
    this.attempt = attempt;
    this.redeliveries = redeliveries + entry.tracker.crashes.redeliveriesOf(entry.offset);
    this.entry = entry;
    this.assignment = assignment;
    this.intake = intake;
  }
}
