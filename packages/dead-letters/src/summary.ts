import { fingerprintOf, masked } from './fingerprint.ts';
import type { DeadLetter } from './letter.ts';

/** Dead letters that failed alike. */
export interface DeadLetterGroup {
  /** Names the group, for `DeadLetterFilter.group`. Stable across runs and processes. */
  readonly group: string;
  /** Why they were dead-lettered. */
  readonly reason: string | undefined;
  /** Consumer that failed. */
  readonly consumer: string | undefined;
  /** Name of the error. */
  readonly errorName: string | undefined;
  /** Message of the error with numbers and ids masked. */
  readonly errorMessage: string | undefined;
  /** Number of letters. */
  readonly count: number;
  /** When the first of them was dead-lettered, as far as they say. */
  readonly first: Date | undefined;
  /** When the last of them was dead-lettered, as far as they say. */
  readonly last: Date | undefined;
  /** Queues that they failed in, with the number of letters. */
  readonly sourceQueues: Readonly<Record<string, number>>;
  /** Manifests, with the number of letters. */
  readonly manifests: Readonly<Record<string, number>>;
  /** Id of one of them, to be shown. */
  readonly example: string;
}

/** The dead letters of a queue by group. */
export interface Summary {
  /** The largest group first. */
  readonly groups: readonly DeadLetterGroup[];
  /** Number of letters in all groups. */
  readonly count: number;
  /** Whether the whole queue was looked at; false when more letters wait than may be held at once. */
  readonly isComplete: boolean;
}

interface Growing {
  readonly letter: DeadLetter;
  count: number;
  first: Date | undefined;
  last: Date | undefined;
  readonly sourceQueues: Map<string, number>;
  readonly manifests: Map<string, number>;
}

/** Collects letters into groups, keeping one letter of each. */
export class Groups {
  readonly #groups = new Map<string, Growing>();
  #count = 0;

  add(letter: DeadLetter): void {
    this.#count += 1;
    const name = fingerprintOf(letter);
    let group = this.#groups.get(name);
    if (group === undefined) {
      group = {
        letter,
        count: 0,
        first: undefined,
        last: undefined,
        sourceQueues: new Map(),
        manifests: new Map(),
      };
      this.#groups.set(name, group);
    }
    const { deadLetteredAt: time } = letter;
    group.count += 1;
    if (time !== undefined && !(group.first !== undefined && group.first <= time)) group.first = time;
    if (time !== undefined && !(group.last !== undefined && group.last >= time)) group.last = time;
    increment(group.sourceQueues, letter.sourceQueue);
    increment(group.manifests, letter.message.manifest);
  }

  summary(isComplete: boolean): Summary {
    const groups = [...this.#groups].map(
      ([group, { letter, count, first, last, sourceQueues, manifests }]): DeadLetterGroup => ({
        group,
        reason: letter.reason,
        consumer: letter.consumer,
        errorName: letter.errorName,
        errorMessage: letter.errorMessage === undefined ? undefined : masked(letter.errorMessage),
        count,
        first,
        last,
        sourceQueues: Object.fromEntries(sourceQueues),
        manifests: Object.fromEntries(manifests),
        example: letter.message.id,
      }),
    );
    groups.sort((one, other) => other.count - one.count);
    return { groups, count: this.#count, isComplete };
  }
}

function increment(counts: Map<string, number>, name: string | undefined): void {
  if (name !== undefined) counts.set(name, (counts.get(name) ?? 0) + 1);
}
