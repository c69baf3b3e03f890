const minDelayMs = 100;
const maxDelayMs = 5_000;

/**
 * Pause before the next try to reach a broker, in ms: 100 ms, doubling up to 5 s, of which the upper half is random, so
 * that the processes of a fleet do not return at the same moment.
 *
 * @param attempt the try that failed, from 1.
 * @param random from 0 (inclusive) to 1 (exclusive). Default: `Math.random()`.
 */
export function reconnectDelayMs(attempt: number, random: number = Math.random()): number {
  const delayMs = Math.min(minDelayMs * 2 ** (attempt - 1), maxDelayMs);
  return Math.round(delayMs * (1 - random / 2));
}
