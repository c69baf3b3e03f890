import type { Clock } from '../contract/clock.ts';
import { DeliveryAbortedError } from '../errors.ts';
import type { Abortable } from './work.ts';

/** Aborts the signal of a run that takes longer than `timeoutMs`, and waits for it all the same: its result counts. */
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
