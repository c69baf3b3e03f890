import { finishedMark } from './finished-offsets.ts';

/**
 * What a commit's metadata says of owners that ended without a word, behind the finished offsets, where readers that do
 * not know of it stop: `~starts.bound.alone.count.owner`, offsets as their distance from the committed one, in base 36.
 */
export interface CrashMarks {
  /** Owners that began at the committed offset, one after the other, of which none got beyond it or said that it left. */
  readonly starts: number;
  /** Offset below which their records were. */
  readonly bound: number;
  /** The record that ran while no other one did, and how often it began. */
  readonly alone: { readonly offset: number; readonly count: number } | undefined;
  /** The process that wrote it. */
  readonly owner: string;
}

const mark = '~';
const form = /~([0-9a-z]{1,3})\.([0-9a-z]{1,9})\.([0-9a-z]{0,9})\.([0-9a-z]{1,3})\.([0-9a-z]{1,12})$/;
/** Of what is written, and so of what is read. */
const maxCount = 36 ** 3 - 1;

/** Text for the metadata of a commit at `offset`. */
export function describeCrashes({ starts, bound, alone, owner }: CrashMarks, offset: number): string {
  const distance = (of: number): string => Math.max(0, of - offset).toString(36);
  const count = (of: number): string => Math.min(of, maxCount).toString(36);
  const ran = alone === undefined ? `.${count(0)}` : `${distance(alone.offset)}.${count(alone.count)}`;
  return `${mark}${count(starts)}.${distance(bound)}.${ran}.${owner}`;
}

/** What `describeCrashes` wrote, in the metadata of a commit at `offset`. */
export function crashesIn(metadata: string, offset: number): CrashMarks | undefined {
  if (!metadata.startsWith(finishedMark)) return undefined;
  const found = form.exec(metadata);
  if (found === null) return undefined;
  const [, starts = '', bound = '', alone = '', count = '', owner = ''] = found;
  const number = (text: string): number => Number.parseInt(text, 36);
  return {
    starts: number(starts),
    bound: offset + number(bound),
    alone: alone === '' ? undefined : { offset: offset + number(alone), count: number(count) },
    owner,
  };
}
