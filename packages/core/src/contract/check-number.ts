import { MelangeError } from '../errors.ts';

/**
 * Returns `value`, a duration in ms: any finite number of at least `min`, fractions included.
 *
 * @param name the option, as its user writes it: `leaseMs`.
 * @param min default: 0.
 * @throws MelangeError `CONFIGURATION`, naming the option and the value, for everything else.
 */
export function checkDelayMs(name: string, value: number, min = 0): number {
  if (Number.isFinite(value) && value >= min) return value;
  throw refused(name, `a finite number of milliseconds, ${min} or more`, value);
}

/**
 * Returns `value`, a whole number of at least `min` and at most `Number.MAX_SAFE_INTEGER`.
 *
 * @param name the option, as its user writes it: `concurrency`.
 * @throws MelangeError `CONFIGURATION`, naming the option and the value, for everything else.
 */
export function checkWholeNumber(name: string, value: number, min: number): number {
  if (Number.isSafeInteger(value) && value >= min) return value;
  throw refused(name, `a whole number of at least ${min}`, value);
}

function refused(name: string, wanted: string, value: unknown): MelangeError {
  const given = typeof value === 'string' ? JSON.stringify(value) : String(value);
  return new MelangeError('CONFIGURATION', `${name} must be ${wanted}, not ${given}.`);
}
