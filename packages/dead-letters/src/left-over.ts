import type { Delivery, MessagingBackend } from '@melange/core';
import { type DeadLetter, letterOf } from './letter.ts';
import { scan } from './scan.ts';

/** Passes over the queue, which each find fewer. */
const maxPasses = 5;

/**
 * Letters that have left a queue, as far as we know. An acknowledgement may be lost with its connection or channel, and nobody hears
 * of it: the letter is then handed out again.
 */
export class LeftLetters {
  readonly #letters = new Map<string, DeadLetter>();

  /** The letter has left. */
  add(letter: DeadLetter): void {
    this.#letters.set(letter.message.id, { ...letter, message: { ...letter.message, content: null } });
  }

  /** Whether a letter of this id has left, be it this one or one that failed again since. */
  hasId(id: string): boolean {
    return this.#letters.has(id);
  }

  /** Whether it is the very letter that has left. */
  has(letter: DeadLetter): boolean {
    const left = this.#letters.get(letter.message.id);
    return left !== undefined && isSameLetter(left, letter);
  }

  /** Looks for letters that are still there, and removes them. */
  async sweep(
    { backend, maxHeld }: { readonly backend: MessagingBackend; readonly maxHeld: number },
    queue: string,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    if (this.#letters.size === 0) return;
    for (let pass = 0, found = 1; pass < maxPasses && found > 0 && signal?.aborted !== true; pass += 1) {
      found = 0;
      await scan(backend, queue, { maxHeld, signal }, (delivery) => {
        if (!this.has(letterOf(delivery.message))) return 'keep';
        found += 1;
        return removeLeftOver(delivery);
      });
    }
  }
}

/** Whether they are the same copy of a message: one that failed again since was dead-lettered later, or redriven more often. */
export function isSameLetter(one: DeadLetter, other: DeadLetter): boolean {
  return (
    one.message.id === other.message.id &&
    one.redriven === other.redriven &&
    one.deadLetteredAt !== undefined &&
    one.deadLetteredAt.getTime() === other.deadLetteredAt?.getTime()
  );
}

/** Acknowledges a letter that is safe elsewhere. Where that fails it comes again. */
export async function removeLeftOver(delivery: Delivery): Promise<void> {
  try {
    await delivery.acknowledge();
  } catch {
    await delivery.release().catch(() => undefined);
  }
}
