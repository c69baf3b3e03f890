import type {
  DispatcherCounters,
  EnvelopeOptions,
  ExceptionContext,
  Logger,
  MessageClass,
  MessageHeaders,
} from '@melange/core';
import type { InstanceOf, ServiceShape } from '../shape.ts';
import type { Duration } from './duration.ts';

/** A service under test: in memory, in time that passes only when it is told to. */
export interface ServiceTest<Shape extends ServiceShape = ServiceShape> {
  /**
   * Puts a message into a queue, as another service does. Resolves when all that follows from it is settled: handlers
   * have run, and so have those of the messages that they published; what waits for its time, such as a retry, waits.
   *
   * @returns the id of the message.
   */
  deliver(
    queue: Shape['queues'],
    message: InstanceOf<Shape['messages']>,
    options?: EnvelopeOptions,
  ): Promise<string>;
  /** As `deliver`, for many at once: they are processed as concurrently as the queue allows. */
  deliverAll(
    queue: Shape['queues'],
    messages: readonly InstanceOf<Shape['messages']>[],
    options?: Omit<EnvelopeOptions, 'id'>,
  ): Promise<string[]>;
  /** As `deliver`, to a topic, from which each queue takes what its filter lets through. */
  deliverToTopic(
    topic: string,
    message: InstanceOf<Shape['messages']>,
    options?: EnvelopeOptions,
  ): Promise<string>;
  /** Resolves when all is settled that can be without time passing: after a publish of your own. */
  settled(): Promise<void>;
  /**
   * Lets time pass: timers that fall due fire in their order, and what each sets going is settled before the next one.
   * While a `deliver` is still under way, as its handler hangs, running handlers are not waited for.
   */
  advance(duration: Duration): Promise<void>;
  /** The messages of a class that the service published or sent since the test began, as their readers see them. */
  published<Type extends MessageClass>(type: Type): InstanceOf<Type>[];
  /** Everything that the service published or sent, with its envelope. */
  publications(): readonly Published[];
  /**
   * What was dead-lettered from a queue.
   *
   * @throws MelangeError `CONFIGURATION` when the queue has no dead-letter queue: nothing could ever be there.
   */
  deadLetters(queue: Shape['queues']): readonly DeadLettered[];
  /** Every error that a handler threw, and every other one that was reported. */
  errors(): readonly ReportedError[];
  /** What was done so far, by queue. */
  counters(): Readonly<Record<string, DispatcherCounters>>;
  /** The time of the test, in ms since the epoch. */
  now(): number;
  /** Ends it. */
  stop(): Promise<void>;
  /** `stop()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** A message that the service published or sent. */
export interface Published {
  /** As its reader sees it. */
  readonly message: unknown;
  /** Where it went. */
  readonly destination: { readonly kind: 'topic' | 'queue'; readonly name: string };
  /** Its id. */
  readonly id: string;
  /** Its ordering key. */
  readonly key: string | undefined;
  /** Its headers, `correlationId` and `causationId` among them. */
  readonly headers: MessageHeaders;
}

/** A message that was dead-lettered. */
export interface DeadLettered {
  /** As its handler saw it; the raw content where it could not be read. */
  readonly message: unknown;
  /** Why: `rejected`, `attempts exhausted`, `undecodable`, `unhandled`. */
  readonly reason: string;
  /** What was thrown. */
  readonly error: unknown;
  /** Attempts made. */
  readonly attempts: number;
  /** Id of the message. */
  readonly id: string;
  /** Headers of the message. */
  readonly headers: MessageHeaders;
}

/** An error and where it came from. */
export interface ReportedError extends ExceptionContext {
  /** What was thrown. */
  readonly error: unknown;
}

/** How a service is tested. */
export interface ServiceTestOptions {
  /** Told what happens. Default: nobody; what fails is in `errors()`. */
  readonly logger?: Logger;
}
