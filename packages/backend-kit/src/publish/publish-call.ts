import {
  MelangeError,
  PublishError,
  type PublishFailure,
  QueueNotFoundError,
  TopicNotFoundError,
} from '@melange/core';
import type { Destination } from '../driver.ts';

/**
 * One call of the application with all its messages: one promise, however many they are. Invariant: each message is
 * settled exactly once, by the broker's answer or by the deadline, whichever comes first.
 */
export class PublishCall {
  /** Of the monotonic clock, in ms. */
  readonly deadline: number;
  /** In ms, where the caller named no deadline: it waits for longer while the destination takes messages. */
  readonly #patienceMs: number | undefined;
  /**
   * Resolves when the broker has taken every message.
   *
   * @throws QueueNotFoundError, TopicNotFoundError, PublishError.
   */
  readonly done: Promise<void>;
  readonly #destination: Destination;
  readonly #failures: PublishFailure[] = [];
  #left: number;
  #resolve: () => void = () => undefined;
  #reject: (error: unknown) => void = () => undefined;

  constructor(destination: Destination, count: number, deadline: number, patienceMs?: number) {
    this.#destination = destination;
    this.#left = count;
    this.deadline = deadline;
    this.#patienceMs = patienceMs;
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    if (count === 0) this.#resolve();
  }

  /** Whether some message has no answer yet. */
  get isOpen(): boolean {
    return this.#left > 0;
  }

  deadlineFrom(since: number): number {
    return this.#patienceMs === undefined ? this.deadline : Math.max(this.deadline, since + this.#patienceMs);
  }

  /** The broker has taken a message. */
  confirm(): void {
    this.#left -= 1;
    if (this.#left === 0) this.#end();
  }

  /** A message was not taken, and will not be. */
  fail(messageId: string, error: unknown): void {
    this.#failures.push({ messageId, error });
    this.confirm();
  }

  #end(): void {
    if (this.#failures.length === 0) {
      this.#resolve();
      return;
    }
    this.#reject(publishFailure(this.#destination, this.#failures));
  }
}

/** Why a call failed whose messages were not taken. */
export function publishFailure(destination: Destination, failures: readonly PublishFailure[]): MelangeError {
  const isMissing = failures.some(
    ({ error }) => MelangeError.is(error, 'QUEUE_NOT_FOUND') || MelangeError.is(error, 'TOPIC_NOT_FOUND'),
  );
  return isMissing ? missing(destination) : new PublishError(destination.name, failures);
}

/** The destination does not exist. */
export function missing({ kind, name }: Destination): MelangeError {
  return kind === 'queue' ? new QueueNotFoundError(name) : new TopicNotFoundError(name);
}
