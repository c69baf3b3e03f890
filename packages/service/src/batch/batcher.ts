import type { ConsumeContext, MaybePromise } from '@melange/core';
import { checkDelayMs, checkWholeNumber } from '@melange/core/adapter';

/** How messages are put together. */
export interface BatchOptions {
  /** Messages in one call, at most. */
  readonly maxMessages: number;
  /** How long the first message of a batch waits for others, in ms. Default: 50. */
  readonly maxWaitMs?: number;
}

/**
 * What became of one message of a batch: `undefined`, or a fulfilled promise's result, when it is done; an error, or a
 * rejected promise's result, as if its own handler had thrown it. So `Promise.allSettled(…)` can be answered.
 */
export type BatchResult = undefined | Error | PromiseSettledResult<unknown>;

/** Nothing, when all are done, or one result for each message, in their order. */
// biome-ignore lint/suspicious/noConfusingVoidType: a handler that answers nothing may be a function of void.
export type BatchAnswer = void | readonly BatchResult[];

/** Waits, and calls back. The returned function cancels. */
export type Wait = (callback: () => void, delayMs: number) => () => void;

interface Item {
  readonly message: never;
  readonly context: ConsumeContext;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Puts messages that are processed at the same time into one call, and tells each what became of it. */
export class Batcher {
  readonly #maxMessages: number;
  readonly #maxWaitMs: number;
  readonly #wait: Wait;
  readonly #handle: (
    messages: readonly never[],
    contexts: readonly ConsumeContext[],
  ) => MaybePromise<BatchAnswer>;
  #items: Item[] = [];
  #cancelWait: () => void = () => undefined;

  /** @throws MelangeError `CONFIGURATION` for numbers that make no sense. */
  constructor(
    { maxMessages, maxWaitMs = 50 }: BatchOptions,
    wait: Wait,
    handle: (messages: readonly never[], contexts: readonly ConsumeContext[]) => MaybePromise<BatchAnswer>,
  ) {
    this.#maxMessages = checkWholeNumber('maxMessages', maxMessages, 1);
    this.#maxWaitMs = checkDelayMs('maxWaitMs', maxWaitMs);
    this.#wait = wait;
    this.#handle = handle;
  }

  /** Settles with what became of this message. */
  add(message: never, context: ConsumeContext): Promise<void> {
    return new Promise((resolve, reject) => {
      const item = { message, context, resolve, reject };
      // What failed before goes alone: it must not take others along again and again.
      if (context.attempt > 1) void this.#process([item]);
      else this.#collect(item);
    });
  }

  #collect(item: Item): void {
    this.#items.push(item);
    if (this.#items.length >= this.#maxMessages) this.#flush();
    else if (this.#items.length === 1) this.#cancelWait = this.#wait(() => this.#flush(), this.#maxWaitMs);
  }

  #flush(): void {
    this.#cancelWait();
    const items = this.#items;
    this.#items = [];
    if (items.length > 0) void this.#process(items);
  }

  /** Never rejects. */
  async #process(items: readonly Item[]): Promise<void> {
    try {
      const messages = items.map(({ message }) => message);
      const contexts = items.map(({ context }) => context);
      const answer = await this.#handle(messages, contexts);
      if (answer && answer.length !== items.length)
        throw new Error(`The handler answered ${answer.length} results for ${items.length} messages.`);
      for (const [index, item] of items.entries()) {
        const error = errorOf(answer ? answer[index] : undefined);
        if (error === undefined) item.resolve();
        else item.reject(error);
      }
    } catch (error) {
      for (const { reject } of items) reject(error);
    }
  }
}

function errorOf(result: BatchResult): unknown {
  if (result === undefined || result instanceof Error) return result;
  if (result.status === 'fulfilled') return undefined;
  return result.reason ?? new Error('The result is rejected with nothing (undefined or null).');
}

/** Aborted when the work on every one of the messages will not count any more. */
export function signalOfAll(contexts: readonly ConsumeContext[]): AbortSignal {
  const controller = new AbortController();
  let left = contexts.length;
  const abort = (reason: unknown): void => {
    left -= 1;
    if (left === 0) controller.abort(reason);
  };
  for (const { signal } of contexts) {
    if (signal.aborted) abort(signal.reason);
    else signal.addEventListener('abort', () => abort(signal.reason), { once: true });
  }
  return controller.signal;
}
