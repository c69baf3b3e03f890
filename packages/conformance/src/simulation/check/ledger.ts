/** One run of a consumer. */
export interface RunRecord {
  readonly consumer: string;
  /** Name of the process. */
  readonly process: string;
  readonly attempt: number;
  readonly startedAt: number;
  /** In virtual ms; nothing while it goes on, or when its process ended first. */
  endedAt: number | undefined;
  /** What it came to: nothing while it goes on, or when its process ended first. */
  outcome: 'succeeded' | 'failed' | 'rejected' | 'deferred' | undefined;
  /** Whether its process ended first. */
  isCutOff: boolean;
  /** Its signal, where the handler looks at it. */
  readonly signal: AbortSignal | undefined;
}

/** What happened to a message, in the order in which it happened. */
export interface MessageRecord {
  readonly id: string;
  readonly key: string | undefined;
  /** Its place in the plan; nothing of a message that a handler published. */
  readonly place: number | undefined;
  readonly content: string;
  publishedAt: number;
  /** When the publisher was told that the broker has it. */
  confirmedAt: number | undefined;
  /** How often the broker took it from a publisher: more than once when an answer was lost. */
  taken: number;
  lastTakenAt: number;
  readonly runs: RunRecord[];
  /** Errors that the application was told of. */
  reported: number;
  /** Copies that stand in queues, dead-letter queues included. */
  copies: number;
  /** Copies in the dead-letter queue. */
  deadLetters: number;
  /** Why it is in the dead-letter queue, and when the first copy came there. */
  deadLetterReason: string | undefined;
  deadLetteredAt: number | undefined;
  /** A broker that failed over may have forgotten it. */
  mayBeForgotten: boolean;
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

/** Something that went wrong with a process, or with all: from then on, until then, a message may come again. */
interface Disturbance {
  readonly process: string | undefined;
  readonly from: number;
  readonly until: number;
}

/** What a fault leaves behind is over after so many ms: leases and sessions end, answers that were late have come. */
const aftermathMs = 20_000;

/** The truth about a run, kept by the simulated world and not by the code that is tried. */
export class Ledger {
  readonly messages: Map<string, MessageRecord> = new Map();
  readonly violations: Violation[] = [];
  readonly timeline: TimelineEntry[] = [];
  /** How often each fault struck. */
  readonly faults: Map<string, number> = new Map();
  readonly #disturbances: Disturbance[] = [];
  readonly #now: () => number;
  readonly #isTold: boolean;
  readonly #isShared: boolean;

  /**
   * @param isTold whether the timeline is written.
   * @param isShared whether what happens to one process disturbs all, since partitions are handed out anew.
   */
  constructor(now: () => number, isTold: boolean, isShared: boolean) {
    this.#now = now;
    this.#isTold = isTold;
    this.#isShared = isShared;
  }

  /** Virtual time in ms. */
  get now(): number {
    return this.#now();
  }

  /** Adds a line to the timeline. */
  tell(who: string, what: () => string): void {
    if (this.#isTold) this.timeline.push({ at: this.#now(), who, what: what() });
  }

  /** An invariant does not hold. */
  violate(invariant: string, message: string): void {
    if (this.violations.length >= 100) return;
    this.violations.push(new Violation(invariant, message));
    this.tell('invariant', () => `${invariant}: ${message}`);
  }

  /** A fault struck. */
  strike(fault: string): void {
    this.faults.set(fault, (this.faults.get(fault) ?? 0) + 1);
  }

  /**
   * Messages of this process may come again because of something that lasts for so long.
   *
   * @param process nothing: of all.
   * @param afterMs for so long, in ms, it has an aftermath.
   */
  disturb(process: string | undefined, forMs: number, afterMs: number = aftermathMs): void {
    const from = this.#now();
    const until = from + forMs + afterMs;
    this.#disturbances.push({ process: this.#isShared ? undefined : process, from, until });
  }

  /** Whether something went wrong with one of the processes between two times. */
  isDisturbed(processes: readonly string[], from: number, until: number): boolean {
    return this.#disturbances.some(
      (one) =>
        one.from <= until &&
        one.until >= from &&
        (one.process === undefined || processes.includes(one.process)),
    );
  }

  /** A message that is going to be published. */
  create(id: string, content: string, key: string | undefined, place: number | undefined): MessageRecord {
    const record: MessageRecord = {
      id,
      key,
      place,
      content,
      publishedAt: this.#now(),
      confirmedAt: undefined,
      taken: 0,
      lastTakenAt: 0,
      runs: [],
      reported: 0,
      copies: 0,
      deadLetters: 0,
      deadLetterReason: undefined,
      deadLetteredAt: undefined,
      mayBeForgotten: false,
    };
    this.messages.set(id, record);
    return record;
  }

  /** The record of a message; one that nobody published breaks an invariant. */
  of(id: string): MessageRecord {
    const record = this.messages.get(id);
    if (record !== undefined) return record;
    this.violate('a message keeps its id', `nobody published a message with the id ${id}`);
    return this.create(id, '', undefined, undefined);
  }
}

/** Consumers that succeeded with the message, at least once. */
export function successesOf({ runs }: MessageRecord): Set<string> {
  return new Set(runs.filter(({ outcome }) => outcome === 'succeeded').map(({ consumer }) => consumer));
}

/** Runs that failed, so far. */
export function failuresOf({ runs }: MessageRecord): number {
  return runs.filter(({ outcome }) => outcome === 'failed' || outcome === 'rejected').length;
}
