import { MelangeError } from '@melange/core';
import type { OutgoingItem } from '../client/index.ts';
import type { OutgoingRecord } from '../wire/message.ts';
import type { Deadlines, Waiting } from './deadlines.ts';

/** What is to be published, and how. */
export interface Outgoing {
  /** Makes the record, each time that it is sent: what waits, a million perhaps, is not in memory as records. */
  readonly record: () => OutgoingRecord;
  /** Its size in bytes. */
  readonly bytes: number;
  /** Records without a key go to a partition chosen by it. */
  readonly spread: number;
  /** It is sent in a request of its own. */
  readonly isAlone: boolean;
  readonly isCompressed: boolean;
  /** Time of `performance.now()` at which it fails. */
  readonly endsAt: number;
  /** How long that was from the beginning, to be said. */
  readonly timeoutMs: number;
  /** Called once, with what went wrong, if anything did. */
  readonly onSettled: (error: unknown) => void;
}

/** A record on its way to a topic, settled once: at its deadline at the latest. */
export class Pending implements OutgoingItem, Waiting {
  readonly bytes: number;
  readonly spread: number;
  readonly isCompressed: boolean;
  readonly endsAt: number;
  partition: number | undefined;
  isSettled = false;
  /** Sent with others it was refused: on its own we shall see whose fault it was. */
  isAlone: boolean;
  readonly #record: () => OutgoingRecord;
  readonly #topic: string;
  readonly #timeoutMs: number;
  readonly #onSettled: (error: unknown) => void;
  readonly #deadlines: Deadlines;

  constructor(topic: string, outgoing: Outgoing, deadlines: Deadlines) {
    this.bytes = outgoing.bytes;
    this.spread = outgoing.spread;
    this.isCompressed = outgoing.isCompressed;
    this.isAlone = outgoing.isAlone;
    this.endsAt = outgoing.endsAt;
    this.#record = outgoing.record;
    this.#topic = topic;
    this.#timeoutMs = outgoing.timeoutMs;
    this.#onSettled = outgoing.onSettled;
    this.#deadlines = deadlines;
    deadlines.add(this);
  }

  get record(): OutgoingRecord {
    return this.#record();
  }

  resolve(): void {
    this.#settle(undefined);
  }

  reject(error: unknown): void {
    this.#settle(error);
  }

  expire(): void {
    const text = `Topic "${this.#topic}" did not confirm within ${this.#timeoutMs} ms.`;
    this.#settle(new MelangeError('PUBLISH_TIMEOUT', text));
  }

  #settle(error: unknown): void {
    if (this.isSettled) return;
    this.isSettled = true;
    this.#deadlines.delete(this);
    this.#onSettled(error);
  }
}
