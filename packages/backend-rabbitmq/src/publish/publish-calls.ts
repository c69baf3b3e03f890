import {
  MelangeError,
  type Message,
  PublishError,
  type PublishFailure,
  QueueNotFoundError,
} from '@melange/core';

/** Who waits for messages to be confirmed. */
export interface PublishCall {
  /** Called once for each message, with what became of it. */
  onSettled(message: { readonly id: string }, error?: unknown): void;
}

/** One call of the application, with all its messages: one promise, however many they are. */
export class MessagesCall implements PublishCall {
  /**
   * Resolves when all of them are confirmed.
   *
   * @throws QueueNotFoundError, TopicNotFoundError, PublishError.
   */
  readonly done: Promise<void>;
  readonly #destination: string;
  readonly #failures: PublishFailure[] = [];
  #left: number;
  #resolve: () => void = () => undefined;
  #reject: (error: unknown) => void = () => undefined;

  constructor(destination: string, count: number) {
    this.#destination = destination;
    this.#left = count;
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    if (count === 0) this.#resolve();
  }

  onSettled({ id }: { readonly id: string }, error?: unknown): void {
    if (error !== undefined) this.#failures.push({ messageId: id, error });
    this.#left -= 1;
    if (this.#left > 0) return;
    if (this.#failures.length === 0) this.#resolve();
    else this.#reject(this.#failed());
  }

  #failed(): unknown {
    const missing = this.#failures.find((failure) => isMissing(failure.error));
    if (missing === undefined) return new PublishError(this.#destination, this.#failures);
    if (MelangeError.is(missing.error, 'QUEUE_NOT_FOUND')) return new QueueNotFoundError(this.#destination);
    return missing.error;
  }
}

/** Whether a queue or topic does not exist. */
export function isMissing(error: unknown): boolean {
  return MelangeError.is(error, 'QUEUE_NOT_FOUND') || MelangeError.is(error, 'TOPIC_NOT_FOUND');
}

/**
 * Finds out what must be known before the first message is sent. Answers with what is left of the time.
 *
 * @throws what says that the destination is missing, and PublishError for anything else.
 */
export async function prepared(
  destination: string,
  messages: readonly Message[],
  deadlineMs: number,
  prepare: () => Promise<void>,
): Promise<number> {
  const startedAt = performance.now();
  try {
    await within(deadlineMs, prepare());
  } catch (error) {
    if (isMissing(error)) throw error;
    const failures = messages.map(({ id }) => ({ messageId: id, error }));
    throw new PublishError(destination, failures);
  }
  return Math.max(1, deadlineMs - (performance.now() - startedAt));
}

/** What the broker does not answer in time counts as unanswered. */
export function within<Result>(deadlineMs: number, work: Promise<Result>): Promise<Result> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new MelangeError('PUBLISH_TIMEOUT', `RabbitMQ did not answer within ${deadlineMs} ms.`)),
      deadlineMs,
    );
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
