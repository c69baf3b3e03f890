import { getRandomValues } from 'node:crypto';
import type { Clock } from './clock.ts';
import { systemClock } from './clock.ts';

/** Makes the id of a message. */
export type IdSource = () => string;

/** Fills the bytes with randomness. */
export type RandomBytes = (bytes: Uint8Array) => void;

const hex: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/** Random bytes are drawn for many ids at once: one system call each would be most of the cost. */
const pooledIds = 128;

/**
 * UUIDs of version 7 (RFC 9562, section 5.7): 48 bits of time in ms, then 74 random bits, so that ids sort
 * by the time of their making to the millisecond.
 */
export function uuidVersion7Source(options?: { clock?: Clock; randomBytes?: RandomBytes }): IdSource {
  const clock = options?.clock ?? systemClock;
  const fill = options?.randomBytes ?? ((bytes: Uint8Array) => void getRandomValues(bytes));
  const pool = new Uint8Array(10 * pooledIds);
  let next = pool.length;
  return () => {
    if (next === pool.length) {
      fill(pool);
      next = 0;
    }
    const now = clock.now();
    const high = Math.floor(now / 0x1_0000_0000) & 0xffff;
    const low = now >>> 0;
    const at = (index: number): number => pool[next + index] ?? 0;
    const text =
      `${hex[high >>> 8]}${hex[high & 255]}${hex[low >>> 24]}${hex[(low >>> 16) & 255]}-` +
      `${hex[(low >>> 8) & 255]}${hex[low & 255]}-${hex[0x70 | (at(0) & 15)]}${hex[at(1)]}-` +
      `${hex[0x80 | (at(2) & 63)]}${hex[at(3)]}-` +
      `${hex[at(4)]}${hex[at(5)]}${hex[at(6)]}${hex[at(7)]}${hex[at(8)]}${hex[at(9)]}`;
    next += 10;
    return text;
  };
}
