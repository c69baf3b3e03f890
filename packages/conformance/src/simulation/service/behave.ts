import { type ConsumeContext, type QueuePublisher, Reject, RetryLater } from '@melange/core';
import { otherQueue } from '../broker/names.ts';
import type { Ledger } from '../check/ledger.ts';
import type { HandlerBehaviour } from '../plan/plan.ts';
import type { SimulatedProcess } from '../time/simulated-process.ts';

/** What a handler has at hand. */
export interface HandlerSurroundings {
  readonly process: SimulatedProcess;
  readonly ledger: Ledger;
  readonly publisher: QueuePublisher;
  /** Ends the process without a word. */
  readonly endProcess: () => void;
}

/** Does what a message's handler does. @param runs how often the consumer has begun with the message, this time included. */
export async function behave(
  behaviour: HandlerBehaviour,
  runs: number,
  context: ConsumeContext,
  surroundings: HandlerSurroundings,
): Promise<void> {
  const { process } = surroundings;
  switch (behaviour) {
    case 'slow':
      return pauseUnlessAborted(process, 1_500, context.signal);
    case 'long':
      return pauseUnlessAborted(process, 11_000, context.signal);
    case 'ignore-signal':
      return process.pause(12_000);
    case 'throw-once':
      await process.pause(1);
      if (runs === 1) throw new Error('once');
      return;
    case 'throw-always':
      throw new Error('always');
    case 'reject':
      throw new Reject('never');
    case 'retry-later':
      await process.pause(1);
      if (runs === 1) throw new RetryLater('later', { delayMs: 700 });
      return;
    case 'hang-once':
      if (runs === 1) return pauseUnlessAborted(process, Number.MAX_SAFE_INTEGER, context.signal);
      return process.pause(1);
    case 'forward':
      return forward(context, surroundings);
    case 'end-process':
      surroundings.endProcess();
      return new Promise(() => undefined);
    default:
      return process.pause(1);
  }
}

/** Its signal is how it is told that the message is no longer its own. */
function pauseUnlessAborted(process: SimulatedProcess, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason);
      return;
    }
    const cancel =
      delayMs === Number.MAX_SAFE_INTEGER ? () => undefined : process.schedule(() => end(resolve), delayMs);
    const abort = (): void => {
      cancel();
      end(() => reject(signal.reason));
    };
    const end = (settle: () => void): void => {
      signal.removeEventListener('abort', abort);
      if (process.isAlive) settle();
    };
    signal.addEventListener('abort', abort);
  });
}

/** Publishes what follows from the message, under an id that follows from its own. */
async function forward(
  context: ConsumeContext,
  { ledger, publisher, process }: HandlerSurroundings,
): Promise<void> {
  const id = `${context.messageId}-out`;
  const content = `follows ${context.messageId}`;
  const record = ledger.messages.get(id) ?? ledger.create(id, content, undefined, undefined);
  await publisher.publish(otherQueue, content, { id, causedBy: context, deadlineMs: 5_000 });
  if (process.isAlive) record.confirmedAt ??= ledger.now;
}
