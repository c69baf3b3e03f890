import type { Clock } from '../contract/clock.ts';
import { DeliveryAbortedError } from '../errors.ts';
import type { Abortable } from './work.ts';

/** Aborts the run when it takes longer than that, in ms. What it comes to counts all the same. */
export async function limitTime(
  run: Abortable,
  timeoutMs: number,
  clock: Clock,
  work: () => unknown,
): Promise<void> {
  const abort = (): void =>
    run.abort(new DeliveryAbortedError('timeout', `The handler took over ${timeoutMs} ms.`));
  const cancel = clock.schedule(abort, timeoutMs);
  try {
    await work();
  } finally {
    cancel();
  }
}
