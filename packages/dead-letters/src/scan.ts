import type { Delivery, MessagingBackend } from '@melange/core';

/** What becomes of a letter that a scan came to. */
export type Verdict =
  /** It is held until the scan is over, and then given back in its old place. */
  | 'keep'
  /** As `keep`, and the scan ends. */
  | 'stop'
  /** The visitor settles it; the promise resolves when it did, and never rejects. */
  | Promise<void>;

/** How a queue is gone through. */
export interface ScanOptions {
  /** Bound of the letters that are held at once; the scan ends when so many are kept. At least 1. */
  readonly maxHeld: number;
  /** Ends the scan. */
  readonly signal?: AbortSignal | undefined;
  /** False: goes on, with what comes later, until it is stopped. Default: true. */
  readonly untilEmpty?: boolean;
}

/** How a scan ended. */
export interface ScanResult {
  /** Letters that were looked at. */
  readonly scanned: number;
  /** Whether the queue had no more to hand out. */
  readonly isComplete: boolean;
}

/**
 * Goes through a queue once, in its order, with what every backend can do: receive, hold, give back. A letter that is
 * kept stays unsettled until the end, for one that were given back at once would come again.
 *
 * @param visit called for each letter, in the queue's order. Must not throw.
 */
export async function scan(
  backend: MessagingBackend,
  queue: string,
  { maxHeld, signal, untilEmpty = true }: ScanOptions,
  visit: (delivery: Delivery) => Verdict,
): Promise<ScanResult> {
  signal?.throwIfAborted();
  const kept: Delivery[] = [];
  const settling = new Set<Promise<void>>();
  let isStopped = false;
  let scanned = 0;
  let stop = (): void => undefined;
  const stopped = new Promise<void>((resolve) => {
    stop = () => {
      isStopped = true;
      resolve();
    };
  });
  signal?.addEventListener('abort', stop, { once: true });
  try {
    const subscription = await backend.subscribe(queue, { maxInFlight: maxHeld, untilEmpty }, (delivery) => {
      if (isStopped) {
        kept.push(delivery);
        return;
      }
      scanned += 1;
      const verdict = visit(delivery);
      if (verdict instanceof Promise) {
        settling.add(verdict);
        void verdict.then(() => settling.delete(verdict));
        return;
      }
      kept.push(delivery);
      if (verdict === 'stop' || kept.length === maxHeld) stop();
    });
    try {
      await Promise.race([subscription.ended, stopped]);
    } finally {
      // Intake stops in this turn; the promise waits for what is unsettled, which is given back next.
      const closed = subscription.close();
      await Promise.all(settling);
      await Promise.all(kept.map((delivery) => delivery.release()));
      await closed;
    }
    return { scanned, isComplete: !isStopped };
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}
