import type { Clock } from '@melange/core';
import type { Limiter } from '../flow/flow-control.ts';

/** Counts as the limiter of a rate limit does, windows of a fixed length, in the time of a test. */
export function virtualLimiter(clock: Clock, messages: number, perMs: number): Limiter {
  const windows = new Map<string, { readonly endsAt: number; left: number }>();
  return {
    async consume(key) {
      const now = clock.monotonicNow();
      let window = windows.get(key);
      if (window === undefined || window.endsAt <= now) {
        window = { endsAt: now + perMs, left: messages };
        windows.set(key, window);
      }
      // As `rate-limiter-flexible` does: no error, but how long to wait.
      if (window.left === 0) throw { msBeforeNext: window.endsAt - now };
      window.left -= 1;
    },
  };
}
