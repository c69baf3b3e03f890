import { createHash } from 'node:crypto';
import type { DeadLetter } from './letter.ts';

/** Longest text that a fingerprint looks at, in characters: a message of megabytes costs no more than a short one. */
const maxCharacters = 500;

const masks: readonly (readonly [RegExp, string])[] = [
  [/\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/gi, '<id>'],
  [/\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?\b/g, '<time>'],
  [/\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b/g, '<email>'],
  [/\b(?:0x)?(?=[0-9a-f]*\d)(?=\d*[a-f])[0-9a-f]{8,}\b/gi, '<id>'],
  [/\b(?=\w*\d)(?=\w*[A-Za-z])[A-Za-z0-9]{12,}\b/g, '<id>'],
  [/\d+(?:\.\d+)*/g, '<n>'],
];

/**
 * An error's message with numbers, ids, times and mail addresses masked, so that `order 17 is unknown` and
 * `order 4711 is unknown` read alike: `order <n> is unknown`. At most 500 characters, in one line.
 */
export function masked(text: string): string {
  const short = text.slice(0, maxCharacters).replace(/\s+/g, ' ').trim();
  return masks.reduce((masking, [pattern, mask]) => masking.replace(pattern, mask), short);
}

/** Names the group of a dead letter: equal for letters of one reason, consumer, error name and masked error message. */
export function fingerprintOf(letter: DeadLetter): string {
  const parts = [
    letter.reason ?? '',
    letter.consumer ?? '',
    letter.errorName ?? '',
    masked(letter.errorMessage ?? ''),
  ];
  // A name for people to copy, not a secret.
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 12);
}
