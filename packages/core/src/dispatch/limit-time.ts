import type { Clock } from '../contract/clock.ts';
import { DeliveryAbortedError } from '../errors.ts';
import type { Work } from './work.ts';

/**
 * Aborts the work when its handlers take longer than that, in ms. Its wait for the deduplication cache is not their time:
 * from its end they have all of it. The returned function ends the watch.
 */
export function limitTime(work: Work, handlerTimeoutMs: number, clock: Clock): () => void {
  let cancel: () => void;
  const watch = (forMs: number): void => {
    cancel = clock.schedule(() => {
      const isWaiting = work.endWait !== undefined;
      const leftMs = isWaiting
        ? handlerTimeoutMs
        : work.waitedUntil + handlerTimeoutMs - clock.monotonicNow();
      if (leftMs > 0) watch(leftMs);
      else work.abort(new DeliveryAbortedError('timeout', `The handler took over ${handlerTimeoutMs} ms.`));
    }, forMs);
  };
  watch(handlerTimeoutMs);
  return () => cancel();
}
