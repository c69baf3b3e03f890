import { type Clock, type Logger, MelangeError } from '@melange/core';

/** How a broker is waited for. */
export interface Waiting {
  /** The broker, for people. */
  readonly broker: string;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Ends the wait: what is waited for rejects with its reason. */
  readonly signal: AbortSignal;
}

const firstPauseMs = 100;
const longestPauseMs = 5_000;
/** Between two lines about the same wait. */
const lineEveryMs = 30_000;

/**
 * Tries until the broker is there. The first failure is logged at once, then one line in 30 s, and one when it is over.
 *
 * @throws what `attempt` throws besides `BROKER_UNAVAILABLE`; the signal's reason.
 */
export async function untilThere<Result>(attempt: () => Promise<Result>, waiting: Waiting): Promise<Result> {
  const { broker, logger, clock, signal } = waiting;
  const begun = clock.monotonicNow();
  let lineAt = begun;
  let pauseMs = firstPauseMs;
  let isAway = false;
  for (;;) {
    signal.throwIfAborted();
    try {
      const result = await attempt();
      if (isAway) logger.info(`${broker} is there, after ${seconds(clock.monotonicNow() - begun)}`);
      return result;
    } catch (error) {
      if (!MelangeError.is(error, 'BROKER_UNAVAILABLE') || signal.aborted) throw error;
      const now = clock.monotonicNow();
      if (!isAway || now >= lineAt) {
        lineAt = now + lineEveryMs;
        logger.warn(`waiting for ${broker}, for ${seconds(now - begun)} now: ${error.message}`);
      }
      isAway = true;
      await pause(pauseMs, clock, signal);
      pauseMs = Math.min(pauseMs * 2, longestPauseMs);
    }
  }
}

/** Rejects with the signal's reason. */
function pause(delayMs: number, clock: Clock, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      cancel();
      reject(signal.reason);
    };
    const cancel = clock.schedule(() => {
      signal.removeEventListener('abort', stop);
      resolve();
    }, delayMs);
    signal.addEventListener('abort', stop, { once: true });
  });
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1_000)} s`;
}
