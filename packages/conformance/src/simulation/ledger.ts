/** What happened to a message, in the order in which it happened. */
export interface MessageRecord {
  readonly id: string;
  readonly key: string | undefined;
  /** Its place in the plan. */
  readonly place: number;
  /** Whether the publisher was told that the broker has it. */
  isConfirmed: boolean;
  /** How often the broker took it from a publisher: more than once when an answer was lost. */
  taken: number;
  /** Runs of a handler that began, by consumer. */
  readonly started: Map<string, number>;
  /** Runs that failed. */
  failed: number;
  /** Runs that ended well, by consumer. */
  readonly succeeded: Map<string, number>;
  /** Whether a handler refused it for good. */
  isRejected: boolean;
  /** Copies that stand in queues, dead-letter queues included. */
  copies: number;
  deadLetters: number;
  /** Why it is in the dead-letter queue. */
  deadLetterReason: string | undefined;
}

/** What is wrong. */
export class Violation extends Error {
  readonly invariant: string;
  constructor(invariant: string, message: string) {
    super(`${invariant}: ${message}`);
    this.invariant = invariant;
  }
}

/** One line of the timeline of a run. */
export interface TimelineEntry {
  /** Virtual time in ms. */
  readonly at: number;
  /** Process, or `broker`, `fault`, `invariant`. */
  readonly who: string;
  /** What happened. */
  readonly what: string;
}

/** The truth about a run, kept by the simulated world and not by the code that is tried. */
export class Ledger {
  readonly messages: Map<string, MessageRecord> = new Map();
  readonly violations: Violation[] = [];
  readonly timeline: TimelineEntry[] = [];
  readonly #now: () => number;
  readonly #isTold: boolean;

  /** @param isTold whether the timeline is written. */
  constructor(now: () => number, isTold: boolean) {
    this.#now = now;
    this.#isTold = isTold;
  }

  /** Adds a line to the timeline. */
  tell(who: string, what: () => string): void {
    if (this.#isTold) this.timeline.push({ at: this.#now(), who, what: what() });
  }

  /** An invariant does not hold. */
  violate(invariant: string, message: string): void {
    this.violations.push(new Violation(invariant, message));
    this.tell('invariant', () => `${invariant}: ${message}`);
  }

  /** A message that is going to be published. */
  create(id: string, key: string | undefined, place: number): MessageRecord {
    const record: MessageRecord = {
      id,
      key,
      place,
      isConfirmed: false,
      taken: 0,
      started: new Map(),
      failed: 0,
      succeeded: new Map(),
      isRejected: false,
      copies: 0,
      deadLetters: 0,
      deadLetterReason: undefined,
    };
    this.messages.set(id, record);
    return record;
  }

  /** The record of a message that exists. */
  of(id: string): MessageRecord {
    const record = this.messages.get(id);
    if (record === undefined) throw new Error(`nobody published ${id}`);
    return record;
  }
}
