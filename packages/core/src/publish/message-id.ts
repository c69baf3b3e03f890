import { Buffer } from 'node:buffer';
import { getRandomValues } from 'node:crypto';
import type { Clock } from '../contract/clock.ts';
import { systemClock } from '../contract/clock.ts';

/** Makes the id of a message. Publishers pass `publishedAt`, in ms since the epoch. */
export type IdSource = (publishedAt?: number) => string;

/** Fills the bytes with randomness. */
export type RandomBytes = (bytes: Uint8Array) => void;

/** The two bits of the variant, followed by two random ones. */
const variants = '89ab';

/** Ids for which random bytes are drawn at once: a system call for each id would be most of its cost. */
const pooledIds = 1_024;

/**
 * UUIDs of version 7 (RFC 9562, section 5.7): 48 bits of time in ms, then 74 random bits, so that ids sort
 * by their time to the millisecond: `publishedAt`, else the clock's.
 */
export function uuidVersion7Source(options?: {
  clock?: Pick<Clock, 'now'>;
  randomBytes?: RandomBytes;
}): IdSource {
  const clock = options?.clock ?? systemClock;
  const fill = options?.randomBytes ?? ((bytes: Uint8Array) => void getRandomValues(bytes));
  const pool = Buffer.alloc(10 * pooledIds);
  /** The pool as hexadecimal text, of which each id takes pieces. */
  let digits = '';
  let next = pool.length;
  let millisecond = Number.NaN;
  /** Of the present millisecond, which many ids share. */
  let prefix = '';
  return (now = clock.now()) => {
    if (next === pool.length) {
      fill(pool);
      digits = pool.toString('hex');
      next = 0;
    }
    if (now !== millisecond) {
      millisecond = now;
      prefix = prefixOf(now);
    }
    const at = next * 2;
    const variant = variants[((pool[next + 2] ?? 0) >> 4) & 3];
    next += 10;
    return `${prefix}${digits.slice(at + 1, at + 4)}-${variant}${digits.slice(at + 5, at + 8)}-${digits.slice(at + 8, at + 20)}`;
  };
}

/** 48 bits of time and the version. */
function prefixOf(now: number): string {
  const time = (Math.floor(now) % 0x1_0000_0000_0000).toString(16).padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-7`;
}
