import { isBrowsable, type Message, type MessagingBackend } from '@melange/core';
import { type ScanResult, scan } from './scan.ts';

/** How letters are looked at. */
export interface Looking {
  /** Bound of the letters that are held at once, where the broker cannot be browsed. */
  readonly maxHeld: number;
  /** Ends the look. */
  readonly signal?: AbortSignal | undefined;
  /** Waited for between pages, where the broker can be browsed. Default: nothing. */
  readonly afterPage?: (() => Promise<void>) | undefined;
}

/** Letters of one page: few enough to hold letters of megabytes in memory. */
const pageSize = 200;

/**
 * Goes through a queue once, in its order, and changes nothing: page by page where the broker can be browsed; else by receiving,
 * holding and giving back.
 *
 * @param visit called for each message; 'stop' ends the look. Must not throw.
 */
export async function look(
  backend: MessagingBackend,
  queue: string,
  { maxHeld, signal, afterPage }: Looking,
  visit: (message: Message) => 'keep' | 'stop',
): Promise<ScanResult> {
  if (!isBrowsable(backend))
    return scan(backend, queue, { maxHeld, signal }, ({ message }) => visit(message));
  signal?.throwIfAborted();
  let scanned = 0;
  let after: string | undefined;
  do {
    const page = await backend.browseQueue(queue, { limit: pageSize, ...(after !== undefined && { after }) });
    for (const message of page.messages) {
      scanned += 1;
      if (visit(message) === 'stop') return { scanned, isComplete: false };
    }
    await afterPage?.();
    if (signal?.aborted === true) return { scanned, isComplete: false };
    after = page.next;
  } while (after !== undefined);
  return { scanned, isComplete: true };
}
