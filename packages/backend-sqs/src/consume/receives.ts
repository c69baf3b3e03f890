import { reconnectDelayMs } from '@melange/backend-kit';
import { pause } from '../errors.ts';
import type { ReceivedMessage } from '../wire/message.ts';

/** Most messages of one receive. */
const mostMessages = 10;

/** Longest wait for room for a full receive, in ms: a receive costs the same for one message as for ten. */
const lingerMs = 20;

/** A message with what it is settled by. */
export type HeldMessage = ReceivedMessage & { readonly ReceiptHandle?: string | undefined };

/** What one receive brought. */
export interface Received {
  readonly messages: readonly HeldMessage[];
  /** The earliest time at which SQS may have handed them out, in ms of `performance.now()`. */
  readonly since: number;
}

/** What receives need to know. */
export interface ReceivesSettings {
  /** One request: so many messages at most, waiting so many seconds for the first one. */
  receive(count: number, waitSeconds: number): Promise<Received>;
  /** Messages that there is room for, not counting receives that are under way. */
  room(): number;
  readonly maxInFlight: number;
  /** Receives at the same time. */
  readonly maxReceives: number;
  readonly waitSeconds: number;
  /** Called with what each receive brought, also when it brought nothing or came after `stop()`. */
  onMessages(received: Received): void;
  /** Called at each failure in a row, from 1, and with 0 when receiving works again. */
  onFailure(failures: number, error: unknown): void;
}

/**
 * Keeps receives open while there is room: one while there is little to receive, more while they come back full.
 * It never ends by itself: failures are followed by further tries, ever less often.
 */
export class Receives {
  readonly #settings: ReceivesSettings;
  #open = 0;
  #reserved = 0;
  #wanted = 1;
  #failures = 0;
  #isBackingOff = false;
  #isStopped = false;
  #linger: NodeJS.Timeout | undefined;
  readonly #underWay = new Set<Promise<void>>();

  constructor(settings: ReceivesSettings) {
    this.#settings = settings;
  }

  /** Receives that wait for an answer. */
  get open(): number {
    return this.#open;
  }

  /** Opens receives for the room that there is. */
  fill(isDue = false): void {
    while (!this.#isStopped && !this.#isBackingOff && this.#open < this.#wanted) {
      const { room, maxInFlight } = this.#settings;
      const count = Math.min(mostMessages, room() - this.#reserved);
      if (count <= 0) return;
      if (!isDue && count < Math.min(mostMessages, maxInFlight)) {
        this.#linger ??= setTimeout(() => {
          this.#linger = undefined;
          this.fill(true);
        }, lingerMs);
        return;
      }
      const receive = this.#receive(count);
      this.#underWay.add(receive);
      void receive.finally(() => this.#underWay.delete(receive));
    }
  }

  /** Opens no more. Those that wait for an answer go on: what they bring would else be lost to everybody for a while. */
  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#linger);
  }

  /** Resolves when no receive waits for an answer. */
  async idle(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
  }

  async #receive(count: number): Promise<void> {
    const { receive, waitSeconds, onMessages, onFailure, maxReceives } = this.#settings;
    this.#open += 1;
    this.#reserved += count;
    try {
      // After a failure a quick answer tells whether it is over.
      const received = await receive(count, this.#failures > 0 ? Math.min(1, waitSeconds) : waitSeconds);
      this.#close(count);
      if (this.#failures > 0) onFailure(0, undefined);
      this.#failures = 0;
      const { length } = received.messages;
      if (length === count) this.#wanted = Math.min(maxReceives, this.#wanted * 2);
      else if (length === 0) this.#wanted = 1;
      onMessages(received);
    } catch (error) {
      this.#close(count);
      this.#failures += 1;
      this.#wanted = 1;
      onFailure(this.#failures, error);
      await this.#backOff();
    }
    this.fill();
  }

  #close(count: number): void {
    this.#open -= 1;
    this.#reserved -= count;
  }

  async #backOff(): Promise<void> {
    if (this.#isStopped || this.#isBackingOff) return;
    this.#isBackingOff = true;
    await pause(reconnectDelayMs(this.#failures));
    this.#isBackingOff = false;
  }
}
