import { type Clock, type MessagingBackend, systemClock } from '@melange/core';
import { type DeadLetter, DeadLetters, fingerprintOf, masked } from '@melange/dead-letters';
import type { GroupView, Histogram, LetterRow, LetterView, LookView, PageOfLetters } from './api.ts';
import { contentView } from './content-view.ts';

/** Which letters of a look. */
export interface RowFilter {
  readonly group?: string | undefined;
  readonly text?: string | undefined;
}

interface Row extends LetterRow {
  readonly group: string;
  readonly consumer: string | undefined;
  /** What the text of a filter is searched in, in lower case. */
  readonly searched: string;
}

interface Look {
  readonly takenAt: number;
  readonly rows: readonly Row[];
  readonly isComplete: boolean;
}

const maxErrorCharacters = 300;
const maxKeptLooks = 8;
const bars = 48;
/** Letters after which other work of the process has its turn. */
const rowsAtOnce = 1_000;

/**
 * Looks at dead-letter queues. A look goes through a queue once and keeps a line of each letter, without its content: all
 * paging and filtering is done on it, and the broker is not asked again until somebody refreshes.
 */
export class Looks {
  readonly #maxLetters: number;
  readonly #clock: Clock;
  readonly #kept = new Map<string, Promise<Look>>();
  readonly #ending = new AbortController();

  constructor(maxLetters: number, clock: Clock = systemClock) {
    this.#maxLetters = maxLetters;
    this.#clock = clock;
  }

  /** @throws what `DeadLetters.list` throws. */
  async view(target: LookTarget, filter: RowFilter, isFresh: boolean): Promise<LookView> {
    const look = await this.#look(target, isFresh);
    const rows = look.rows.filter(matcherOf({ text: filter.text }));
    return {
      takenAt: look.takenAt,
      count: rows.length,
      isComplete: look.isComplete,
      groups: groupsOf(rows),
      histogram: histogramOf(rows.filter(matcherOf(filter))),
    };
  }

  async page(target: LookTarget, filter: RowFilter, offset: number, limit: number): Promise<PageOfLetters> {
    const look = await this.#look(target, false);
    const rows = look.rows.filter(matcherOf(filter));
    const shown = rows.slice(offset, offset + limit);
    return { takenAt: look.takenAt, total: rows.length, rows: shown.map(lineOf) };
  }

  /** Ids of the letters that a filter means in the last look. */
  async idsOf(target: LookTarget, filter: RowFilter): Promise<readonly string[]> {
    const look = await this.#look(target, false);
    return look.rows.filter(matcherOf(filter)).map(({ id }) => id);
  }

  /** The letter as it is in the queue now; `undefined` when it is gone. */
  async letter({ backend, queue }: LookTarget, id: string): Promise<LetterView | undefined> {
    const letter = await this.#lettersOf(backend).show(queue, id, { signal: this.#ending.signal });
    return letter && letterView(letter);
  }

  /** The next look goes to the broker. */
  forget(target: LookTarget): void {
    this.#kept.delete(keyOf(target));
  }

  /** Ends looks under way. */
  close(): void {
    this.#ending.abort(new Error('The dashboard was closed.'));
    this.#kept.clear();
  }

  #look(target: LookTarget, isFresh: boolean): Promise<Look> {
    const key = keyOf(target);
    const kept = this.#kept.get(key);
    if (kept !== undefined && !isFresh) return kept;
    const look = this.#take(target);
    this.#kept.delete(key);
    this.#kept.set(key, look);
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= maxKeptLooks) break;
      this.#kept.delete(oldest);
    }
    look.catch(() => {
      if (this.#kept.get(key) === look) this.#kept.delete(key);
    });
    return look;
  }

  async #take({ backend, queue }: LookTarget): Promise<Look> {
    const takenAt = this.#clock.now();
    const { letters, isComplete } = await this.#lettersOf(backend).list(queue, {
      limit: this.#maxLetters,
      signal: this.#ending.signal,
    });
    const rows: Row[] = [];
    const group = groupNames();
    for (const letter of letters) {
      rows.push(rowOf(letter, group(letter)));
      if (rows.length % rowsAtOnce === 0) await new Promise(setImmediate);
    }
    return { takenAt, rows, isComplete };
  }

  #lettersOf(backend: MessagingBackend): DeadLetters {
    // One more than a look lists tells whether there are more.
    return new DeadLetters({ backend, maxHeld: this.#maxLetters + 1 });
  }
}

/** A dead-letter queue. */
export interface LookTarget {
  readonly backend: MessagingBackend;
  readonly broker: string;
  readonly queue: string;
}

function keyOf({ broker, queue }: LookTarget): string {
  return JSON.stringify([broker, queue]);
}

function matcherOf({ group, text }: RowFilter): (row: Row) => boolean {
  const needle = text?.toLowerCase();
  return (row) =>
    (group === undefined || row.group === group) && (needle === undefined || row.searched.includes(needle));
}

/** Names of groups, computed once for letters that failed alike. */
function groupNames(): (letter: DeadLetter) => string {
  const names = new Map<string, string>();
  return (letter) => {
    const { reason, consumer, errorName, errorMessage = '' } = letter;
    const alike = JSON.stringify([reason, consumer, errorName, masked(errorMessage)]);
    let name = names.get(alike);
    if (name === undefined) {
      name = fingerprintOf(letter);
      names.set(alike, name);
    }
    return name;
  };
}

function rowOf(letter: DeadLetter, group: string): Row {
  const line = lineOf({
    id: letter.message.id,
    deadLetteredAt: letter.deadLetteredAt?.getTime(),
    reason: letter.reason,
    errorName: letter.errorName,
    errorMessage: letter.errorMessage?.slice(0, maxErrorCharacters),
    manifest: letter.message.manifest,
    sourceQueue: letter.sourceQueue,
  });
  const searched = Object.values({ ...line, consumer: letter.consumer })
    .join('\n')
    .toLowerCase();
  return { ...line, group, consumer: letter.consumer, searched };
}

function lineOf({
  id,
  deadLetteredAt,
  reason,
  errorName,
  errorMessage,
  manifest,
  sourceQueue,
}: LetterRow): LetterRow {
  return { id, deadLetteredAt, reason, errorName, errorMessage, manifest, sourceQueue };
}

function letterView(letter: DeadLetter): LetterView {
  const { message } = letter;
  return {
    ...lineOf(rowOf(letter, '')),
    errorMessage: letter.errorMessage,
    errorCause: letter.errorCause,
    consumer: letter.consumer,
    attempts: letter.attempts,
    redriven: letter.redriven,
    publishedAt: message.publishedAt,
    key: message.key,
    headers: message.headers,
    content: contentView(message),
  };
}

function groupsOf(rows: readonly Row[]): readonly GroupView[] {
  const groups = new Map<string, { row: Row; count: number; first?: number; last?: number }>();
  for (const row of rows) {
    let group = groups.get(row.group);
    if (group === undefined) {
      group = { row, count: 0 };
      groups.set(row.group, group);
    }
    group.count += 1;
    const at = row.deadLetteredAt;
    if (at === undefined) continue;
    if (group.first === undefined || at < group.first) group.first = at;
    if (group.last === undefined || at > group.last) group.last = at;
  }
  return [...groups.values()]
    .sort((one, other) => other.count - one.count)
    .map(({ row, count, first, last }) => ({
      group: row.group,
      reason: row.reason,
      consumer: row.consumer,
      errorName: row.errorName,
      errorMessage: row.errorMessage === undefined ? undefined : masked(row.errorMessage),
      count,
      first,
      last,
    }));
}

/** `undefined` when no letter tells its time. */
function histogramOf(rows: readonly Row[]): Histogram | undefined {
  let from = Number.POSITIVE_INFINITY;
  let to = Number.NEGATIVE_INFINITY;
  for (const { deadLetteredAt: at } of rows) {
    if (at === undefined) continue;
    from = Math.min(from, at);
    to = Math.max(to, at);
  }
  if (from > to) return undefined;
  const counts = new Array<number>(bars).fill(0);
  const span = Math.max(to - from, 1);
  for (const { deadLetteredAt: at } of rows) {
    if (at === undefined) continue;
    const bar = Math.min(Math.floor(((at - from) / span) * bars), bars - 1);
    counts[bar] = (counts[bar] as number) + 1;
  }
  return { from, to, counts };
}
