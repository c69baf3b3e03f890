import type { Clock, Message, MessagingBackend } from '@melange/core';
import { isSameLetter, removeLeftOver } from './left-over.ts';
import { letterOf } from './letter.ts';
import { scan } from './scan.ts';

/** Letters that go first. The others follow only when these were processed. */
export interface Canary {
  /** How many letters go first. */
  readonly first: number;
  /**
   * Tells whether a message was processed, such as by a look into the application's database; asked every second.
   * Default: it counts as processed when it did not come back to the dead-letter queue for `patienceMs`.
   */
  readonly wasProcessed?: (message: Message) => boolean | Promise<boolean>;
  /**
   * With `wasProcessed` the longest wait for it, after which the redrive ends; without it the time in which a letter that fails
   * again comes back: longer than all retries take. Default: 300,000, above the four minutes of the default retries.
   */
  readonly patienceMs?: number;
}

const defaultPatienceMs = 300_000;
const askEveryMs = 1_000;

/** What became of the letters that went first. */
export type CanaryFate = 'processed' | 'failed' | 'not processed';

/**
 * Watches the dead-letter queue, holding what it hands out, until the letters that went first were processed, or one of them is back.
 *
 * @param sent by id.
 */
export async function watchCanaries(
  {
    backend,
    clock,
    maxHeld,
  }: { readonly backend: MessagingBackend; readonly clock: Clock; readonly maxHeld: number },
  queue: string,
  { wasProcessed, patienceMs = defaultPatienceMs }: Canary,
  sent: ReadonlyMap<string, Message>,
  signal: AbortSignal,
): Promise<CanaryFate> {
  if (signal.aborted) return 'not processed';
  const ending = new AbortController();
  let fate: CanaryFate | undefined;
  const end = (how: CanaryFate): void => {
    fate ??= how;
    ending.abort();
  };
  const onAbort = (): void => end('not processed');
  signal.addEventListener('abort', onAbort, { once: true });
  const cancel = clock.schedule(() => end(wasProcessed ? 'not processed' : 'processed'), patienceMs);
  try {
    const asking = wasProcessed && ask(wasProcessed, [...sent.values()], clock, ending.signal).then(end);
    const { isComplete } = await scan(
      backend,
      queue,
      { maxHeld, signal: ending.signal, untilEmpty: false },
      (delivery) => {
        const original = sent.get(delivery.message.id);
        if (original === undefined) return 'keep';
        // Not back, but still here: the broker did not hear that it was acknowledged.
        if (isSameLetter(letterOf(original), letterOf(delivery.message))) return removeLeftOver(delivery);
        end('failed');
        return 'stop';
      },
    );
    ending.abort();
    await asking;
    // A queue that holds more than may be held cannot be seen to its end, where a letter that failed again is.
    return fate ?? (isComplete ? 'processed' : 'not processed');
  } finally {
    cancel();
    signal.removeEventListener('abort', onAbort);
  }
}

/** Resolves when each message was processed, or with the end of the watch. */
async function ask(
  wasProcessed: NonNullable<Canary['wasProcessed']>,
  messages: readonly Message[],
  clock: Clock,
  signal: AbortSignal,
): Promise<CanaryFate> {
  const left = [...messages];
  while (!signal.aborted) {
    const [message] = left;
    if (message === undefined) return 'processed';
    if (await wasProcessed(message)) left.shift();
    else await pause(clock, signal);
  }
  return 'not processed';
}

function pause(clock: Clock, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const cancel = clock.schedule(done, askEveryMs);
    function done(): void {
      cancel();
      signal.removeEventListener('abort', done);
      resolve();
    }
    signal.addEventListener('abort', done, { once: true });
  });
}
