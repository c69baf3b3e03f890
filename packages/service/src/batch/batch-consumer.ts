import {
  type ConsumeContext,
  type Consumer,
  type MaybePromise,
  type MessageClass,
  systemClock,
} from '@melange/core';
import { type BatchAnswer, Batcher, type BatchOptions, signalOfAll } from './batcher.ts';

/** What a batch handler is given besides the messages. */
export interface BatchContext {
  /** The context of each message, in the order of the messages. */
  readonly contexts: readonly ConsumeContext[];
  /** Aborted when the work on every one of the messages will not count any more. Each has a signal of its own besides. */
  readonly signal: AbortSignal;
}

/** Processes many messages in one call. Answers nothing when all are done, or one result for each; throws for all. */
export type BatchHandler<Message> = (
  messages: readonly Message[],
  context: BatchContext,
) => MaybePromise<BatchAnswer>;

/**
 * Many messages of one class in one call, for a dispatcher: claims, retries and dead letters stay each message's own. Give
 * the dispatcher a `concurrency` of at least `maxMessages`, as it hands over no more at the same time. A message that failed
 * before comes alone. With `ordering: 'key'` a batch has at most one message of a key, with `'queue'` one message.
 */
export class BatchConsumer<Message extends object> implements Consumer {
  readonly name: string;
  readonly #type: MessageClass<Message>;
  readonly #batcher: Batcher;

  /**
   * @param name stable across deployments, unique within a dispatcher.
   * @throws MelangeError `CONFIGURATION` for numbers that make no sense.
   */
  constructor(
    name: string,
    type: MessageClass<Message>,
    options: BatchOptions,
    handler: BatchHandler<Message>,
  ) {
    this.name = name;
    this.#type = type;
    this.#batcher = new Batcher(options, systemClock.schedule, (messages, contexts) =>
      handler(messages, {
        contexts,
        get signal() {
          return signalOfAll(contexts);
        },
      }),
    );
  }

  accepts(message: unknown): boolean {
    return message instanceof this.#type;
  }

  process(message: unknown, context: ConsumeContext): Promise<void> {
    return this.#batcher.add(message as never, context);
  }
}
