/** What server and page say to each other: JSON, times in milliseconds since the epoch. */

/** A queue at one time. */
export interface Sample {
  readonly at: number;
  readonly depth: number;
  readonly inFlight: number | undefined;
  readonly dead: number | undefined;
  /** Processed in a second since the sample before, where the counts are known. */
  readonly processedPerSecond: number | undefined;
}

export interface QueueView {
  readonly broker: string;
  readonly name: string;
  readonly deadLetterQueue: string | undefined;
  /** The oldest first. */
  readonly samples: readonly Sample[];
  /** Why the last sample is missing. */
  readonly trouble: string | undefined;
}

export interface BrokerView {
  readonly name: string;
  readonly technology: string;
  readonly address: string | undefined;
  readonly status: 'healthy' | 'degraded' | 'unhealthy';
  readonly detail: string | undefined;
}

export interface Overview {
  readonly allowChanges: boolean;
  readonly user: string;
  readonly brokers: readonly BrokerView[];
  readonly queues: readonly QueueView[];
  readonly jobs: readonly JobView[];
}

/** A letter as a line of a list. */
export interface LetterRow {
  readonly id: string;
  readonly deadLetteredAt: number | undefined;
  readonly reason: string | undefined;
  readonly errorName: string | undefined;
  readonly errorMessage: string | undefined;
  readonly manifest: string | undefined;
  readonly sourceQueue: string | undefined;
}

export interface GroupView {
  readonly group: string;
  readonly reason: string | undefined;
  readonly consumer: string | undefined;
  readonly errorName: string | undefined;
  readonly errorMessage: string | undefined;
  readonly count: number;
  readonly first: number | undefined;
  readonly last: number | undefined;
}

/** Letters that were dead-lettered in equal spans of time. */
export interface Histogram {
  readonly from: number;
  readonly to: number;
  readonly counts: readonly number[];
}

/** A look at a dead-letter queue: its groups. */
export interface LookView {
  readonly takenAt: number;
  readonly count: number;
  /** False when the queue holds more than a look goes through. */
  readonly isComplete: boolean;
  readonly groups: readonly GroupView[];
  readonly histogram: Histogram | undefined;
}

/** A part of the letters of a look. */
export interface PageOfLetters {
  readonly takenAt: number;
  /** All that the filter means. */
  readonly total: number;
  readonly rows: readonly LetterRow[];
}

export interface LetterView extends LetterRow {
  readonly errorCause: string | undefined;
  readonly consumer: string | undefined;
  readonly attempts: number | undefined;
  readonly redriven: number;
  readonly publishedAt: number | undefined;
  readonly key: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly content: ContentView;
}

/** What a person can read of a content. */
export interface ContentView {
  readonly form: 'json' | 'text' | 'bytes' | 'none';
  readonly text: string;
  readonly bytes: number;
  /** Whether `text` is only the beginning. */
  readonly isCut: boolean;
}

/**
 * Which letters are redriven or discarded: those with ids, or those of the last look that a group and a text mean, or all
 * that are in the queue.
 */
export interface ChangeRequest {
  readonly action: 'redrive' | 'discard';
  readonly ids?: readonly string[];
  readonly group?: string;
  readonly text?: string;
  readonly all?: true;
  readonly maxPerSecond?: number;
  /** Letters that go first; the others follow when none of them is back after `canaryPatienceMs`. */
  readonly canaryFirst?: number;
  readonly canaryPatienceMs?: number;
}

export interface JobView {
  readonly id: string;
  readonly action: 'redrive' | 'discard';
  readonly broker: string;
  readonly queue: string;
  readonly letters: string;
  readonly user: string;
  readonly startedAt: number;
  readonly endedAt: number | undefined;
  readonly moved: number;
  readonly failed: number;
  /** Letters that are meant, as far as was known at the beginning. */
  readonly expected: number | undefined;
  /** How it ended; `undefined` while it runs. */
  readonly result: string | undefined;
}

export interface AuditView {
  readonly at: number;
  readonly user: string;
  readonly action: string;
  readonly broker: string;
  readonly queue: string;
  readonly letters: string;
  readonly result: string | undefined;
}

export interface Refusal {
  readonly error: string;
}
