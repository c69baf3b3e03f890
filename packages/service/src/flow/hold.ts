import { type Clock, type ConsumeContext, RetryLater } from '@melange/core';

/** Held longer than this, a message goes back to its queue for the rest: some brokers bound how long one may be held. */
const maxHoldMs = 60_000;

/** A wait that can be ended from outside. */
export interface Held {
  /** Resolves when the message may go on; rejects with `RetryLater`, which uses up no attempt, when it is to go back. */
  readonly over: Promise<void>;
  /** Lets it go on. */
  resume(): void;
}

/**
 * Holds a message until it is resumed: in its place, so that its queue hands over no more than others can be held. It goes
 * back when it is held for long, its run is aborted, or `signal` is.
 *
 * @param leftMs how long it would still be held, asked when it goes back.
 */
export function hold(
  context: ConsumeContext,
  clock: Clock,
  signal: AbortSignal | undefined,
  leftMs: () => number,
): Held {
  let resume = (): void => undefined;
  const over = new Promise<void>((resolve, reject) => {
    const giveBack = (): void => {
      end();
      const delayMs = signal?.aborted === true ? 0 : Math.max(0, Math.ceil(leftMs()));
      reject(new RetryLater('Flow control gave the message back to its queue.', { delayMs }));
    };
    const cancel = clock.schedule(giveBack, maxHoldMs);
    const end = (): void => {
      cancel();
      context.signal.removeEventListener('abort', giveBack);
      signal?.removeEventListener('abort', giveBack);
    };
    resume = () => {
      end();
      resolve();
    };
    context.signal.addEventListener('abort', giveBack, { once: true });
    signal?.addEventListener('abort', giveBack, { once: true });
    if (context.signal.aborted || signal?.aborted === true) giveBack();
  });
  return { over, resume: () => resume() };
}
