import { MelangeError } from '@melange/core';
import { fingerprintOf } from './fingerprint.ts';
import type { DeadLetter } from './letter.ts';

/** Which dead letters are meant: those that meet every condition that is given. Default of each: all. */
export interface DeadLetterFilter {
  /** Fingerprint of a group, as `summarize` tells it. */
  readonly group?: string;
  /** Ids of messages. */
  readonly ids?: readonly string[];
  /** Name of the shape of the content, such as `OrderPlaced`. */
  readonly manifest?: string;
  /** Queue that they failed in. */
  readonly sourceQueue?: string;
  /** Consumer that failed. */
  readonly consumer?: string;
  /** Reason, such as `rejected`. */
  readonly reason?: string;
  /** Headers with exactly these values. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Dead-lettered at this time or later. A letter that does not say when is not meant. */
  readonly from?: Date;
  /** Dead-lettered before this time. A letter that does not say when is not meant. */
  readonly to?: Date;
  /** Text that the content (read as UTF-8), the error or a header's value contains, whatever the case of its letters. */
  readonly text?: string;
}

/**
 * Tells which letters a filter means.
 *
 * @throws MelangeError `CONFIGURATION` when a time is none, or a text is empty.
 */
export function matcherOf(filter: DeadLetterFilter): (letter: DeadLetter) => boolean {
  const { from, to, text } = filter;
  for (const [name, date] of Object.entries({ from, to })) {
    if (date !== undefined && Number.isNaN(date.getTime()))
      throw new MelangeError('CONFIGURATION', `Filter: "${name}" is not a valid date.`);
  }
  if (text === '')
    throw new MelangeError('CONFIGURATION', 'Filter: "text" is empty. Leave it out to mean all.');
  const ids = filter.ids && new Set(filter.ids);
  const needle = text?.toLowerCase();
  return (letter) =>
    isOrAny(filter.manifest, letter.message.manifest) &&
    isOrAny(filter.sourceQueue, letter.sourceQueue) &&
    isOrAny(filter.consumer, letter.consumer) &&
    isOrAny(filter.reason, letter.reason) &&
    ids?.has(letter.message.id) !== false &&
    hasHeaders(letter, filter.headers ?? {}) &&
    isBetween(letter.deadLetteredAt, from, to) &&
    (filter.group === undefined || fingerprintOf(letter) === filter.group) &&
    (needle === undefined || contains(letter, needle));
}

function isOrAny(wanted: string | undefined, value: string | undefined): boolean {
  return wanted === undefined || wanted === value;
}

function hasHeaders({ message }: DeadLetter, wanted: Readonly<Record<string, string>>): boolean {
  return Object.entries(wanted).every(
    ([name, value]) => Object.hasOwn(message.headers, name) && message.headers[name] === value,
  );
}

function isBetween(time: Date | undefined, from: Date | undefined, to: Date | undefined): boolean {
  if (from === undefined && to === undefined) return true;
  return time !== undefined && (from === undefined || time >= from) && (to === undefined || time < to);
}

/** Text that is not UTF-8 has a replacement character in the place of each wrong byte. */
const utf8 = new TextDecoder();

function contains({ message: { content, headers } }: DeadLetter, needle: string): boolean {
  // The error is in the headers.
  if (Object.values(headers).some((value) => value.toLowerCase().includes(needle))) return true;
  if (content === null) return false;
  return (typeof content === 'string' ? content : utf8.decode(content)).toLowerCase().includes(needle);
}
