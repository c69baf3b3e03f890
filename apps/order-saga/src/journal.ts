import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** What happened to an order. `sent`: its first message is confirmed. */
export type Entry = 'placed' | 'sent' | 'charged' | 'completed' | 'deadLettered';

/** What a run writes down at once, so that it outlives a process that is killed. */
export interface Journal {
  /** Names the queues of the run. */
  readonly runId: string;
  readonly orders: number;
  /** The entries that an earlier run wrote, in order. */
  readonly entries: readonly (readonly [entry: Entry, orderId: string])[];
  write(entry: Entry, orderId: string): void;
}

/** A journal in the folder, in place of the one that is there. */
export function newJournal(folder: string, runId: string, orders: number): Journal {
  mkdirSync(folder, { recursive: true });
  writeFileSync(fileOf(folder), `${JSON.stringify({ runId, orders })}\n`);
  return { runId, orders, entries: [], write: writer(folder) };
}

/** The journal of the last run of the folder; nothing, where there was none. */
export function oldJournal(folder: string): Journal | undefined {
  if (!existsSync(fileOf(folder))) return undefined;
  const text = readFileSync(fileOf(folder), 'utf8');
  const [head = '{}', ...entries] = text.trimEnd().split('\n');
  const { runId, orders } = JSON.parse(head) as Pick<Journal, 'runId' | 'orders'>;
  return { runId, orders, entries: entries.map((line) => JSON.parse(line)), write: writer(folder) };
}

function fileOf(folder: string): string {
  return join(folder, 'journal.ndjson');
}

function writer(folder: string): Journal['write'] {
  // One small write: it is in the file whole, or not at all.
  return (entry, orderId) => appendFileSync(fileOf(folder), `${JSON.stringify([entry, orderId])}\n`);
}
