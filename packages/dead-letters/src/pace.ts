import type { Clock } from '@melange/core';

/** Resolves at most `maxPerSecond` times a second, evenly: no burst after a pause. */
export function paceOf(clock: Clock, maxPerSecond: number | undefined): () => Promise<void> | undefined {
  if (maxPerSecond === undefined) return () => undefined;
  const everyMs = 1_000 / maxPerSecond;
  let nextAt = clock.monotonicNow();
  return () => {
    const now = clock.monotonicNow();
    const waitMs = nextAt - now;
    nextAt = Math.max(nextAt, now) + everyMs;
    return waitMs > 0 ? new Promise((resolve) => void clock.schedule(resolve, waitMs)) : undefined;
  };
}
