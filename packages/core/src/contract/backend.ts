import type { DeadLetterOptions } from './dead-letter.ts';
import type { Health } from './health.ts';
import type { MaybePromise } from './maybe-promise.ts';
import type { Message } from './message.ts';

/** Where publishers put messages: a backend, or a place from which messages reach one later, such as an outbox. */
export interface PublishingBackend<Features extends Capabilities = Capabilities> {
  /** Technology, for logs and tables: `memory`. */
  readonly name: string;
  /** What this broker can do. The type of the options follows from it. */
  readonly capabilities: Features;

  /**
   * Resolves when the broker has safely taken every message; messages are sent in order, and concurrent
   * calls share round trips.
   *
   * @throws QueueNotFoundError when the queue does not exist.
   * @throws PublishError naming the messages that were not confirmed before the deadline, and why.
   */
  publishToQueue(
    queue: string,
    messages: readonly Message[],
    options?: PublishToQueueOptions<Features>,
  ): Promise<void>;

  /**
   * As `publishToQueue`, for every queue bound to the topic whose filter lets the manifest through. A topic
   * without queues takes messages and drops them.
   *
   * @throws TopicNotFoundError when the topic does not exist.
   */
  publishToTopic(topic: string, messages: readonly Message[], options?: PublishOptions): Promise<void>;
}

/**
 * The interface of a broker adapter. Applications do not call it: they use publishers and dispatchers.
 *
 * Every implementation may be used concurrently, connects on first use, reconnects by itself, and passes
 * `describeBackend` of `@melange/conformance` with the capabilities that it declares.
 */
export interface MessagingBackend<Features extends Capabilities = Capabilities>
  extends PublishingBackend<Features> {
  /** Address of the broker for people to read, without user and password. Default: none. */
  readonly address?: string;

  /** Makes a topic that queues can be bound to. Idempotent. */
  declareTopic(name: string): Promise<void>;

  /**
   * Makes a queue that receives what is published to it and to its topics. Idempotent. Topics and the dead-letter
   * queue are made first if they are missing.
   *
   * Declaring again adds topics and never removes any, and widens a topic's filter and never narrows it: while a new
   * version of a service is rolled out, both versions declare the queue in turns, and a topic or a manifest that one of
   * them takes away is lost to the other. A declaration that asks for less logs one warning, which names what stays
   * and the option that takes it away: `removeTopics`, `replaceFilter`.
   *
   * @throws TopologyConflictError when it exists with other settings; nothing is changed, nobody disturbed.
   */
  declareQueue(name: string, options?: QueueOptions): Promise<void>;

  /**
   * Calls `receive` for each message, never having more than `maxInFlight` deliveries unsettled. Survives
   * lost connections: what was unsettled then comes again. `receive` must not throw.
   *
   * @throws QueueNotFoundError when the queue does not exist.
   * @throws BrokerUnavailableError when the broker cannot be reached at the start.
   */
  subscribe(
    queue: string,
    options: SubscribeOptions,
    receive: (delivery: Delivery) => void,
  ): Promise<Subscription>;

  /** What is known of a queue. Does not fail when the queue does not exist. */
  describeQueue(name: string): Promise<QueueDescription>;

  /** Deletes a queue with its messages. Does nothing when it does not exist. */
  deleteQueue(name: string): Promise<void>;

  /** Deletes a topic; its queues stay. Does nothing when it does not exist. */
  deleteTopic(name: string): Promise<void>;

  /** Whether the backend can work now, and if not, why. Never throws, never waits on the broker for long. */
  health(): Promise<Health>;

  /**
   * Ends subscriptions, waits for publishes under way up to their deadline, closes connections. What is
   * unsettled goes back to the broker. Idempotent.
   */
  close(): Promise<void>;
  /** `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** What a broker can do, as data: the conformance suite skips by it and the tables are printed from it. */
export interface Capabilities {
  /** `publishToQueue` takes `delayMs`. */
  readonly delayedDelivery: boolean;
  /** Competing subscribers never get two messages of one key at once, nor out of order. */
  readonly orderingByKey: boolean;
  /** One subscriber is handed messages in the order of publication. */
  readonly ordered: boolean;
  /** `filter` is applied by the broker, not by the subscriber. */
  readonly brokerSideFilters: boolean;
  /** A queue can be read again from an earlier position: the backend is a `ReplayableBackend`. */
  readonly replay: boolean;
  /** A queue can be looked into without taking its messages: the backend is a `BrowsableBackend`. */
  readonly browse: boolean;
  /** What a queue received through a topic stays when the topic is deleted. */
  readonly queuesKeepTopicMessages: boolean;
  /** Messages without content can be carried. */
  readonly tombstones: boolean;
  /** Messages and topology outlive a restart of the broker. */
  readonly durable: boolean;
  /** `release` does not count as an attempt. */
  readonly releaseKeepsAttempt: boolean;
  /** A delivery survives a lost connection, and is settled over the next one. */
  readonly deliveriesOutliveConnections: boolean;
  /** `describeQueue` counts exactly the messages that wait, without those that are delayed or in flight. Else `depth` is a hint. */
  readonly exactDepth: boolean;
  /**
   * The broker ignores a settlement by a holder that it has taken the message back from. Else a process that was suspended for too
   * long may settle a message that another one is processing.
   */
  readonly fencedSettlements: boolean;
  /** `Delivery.redeliveries` counts every time that a message was handed out and its holder fell silent or was cut off. */
  readonly tellsRedeliveries: boolean;
  /** Largest content in bytes, or `undefined` where there is no fixed limit. */
  readonly maxMessageBytes: number | undefined;
}

/** What a backend must declare to be a `ReplayableBackend`. */
export type ReplayCapabilities = Capabilities & { readonly replay: true };

/** A backend whose broker keeps messages after they were settled, so that a queue can be read again. */
export interface ReplayableBackend<Features extends ReplayCapabilities = ReplayCapabilities>
  extends MessagingBackend<Features> {
  /**
   * Delivers again, as the first attempt, all messages that the queue received at or after the position and the broker
   * still holds, settled or not. Messages that wait in the queue stay there, also those from before the position. Retries and
   * dead letters stay where they are. A deduplication cache still knows what was processed: a consumer that is to process it
   * again needs another cache, or another name.
   *
   * @param position where to read again from: the earliest message that is held, or a time of the broker's.
   * @throws QueueNotFoundError when the queue does not exist.
   * @throws MelangeError `QUEUE_IN_USE`, nothing being changed, while it is subscribed to: through this backend or,
   * where the broker can tell, any other.
   */
  rewindQueue(queue: string, position: ReplayPosition): Promise<void>;
}

/** Where a queue is read again from. */
export interface ReplayPosition {
  /** The first message that is still kept, or the first that was published at that time or later. */
  readonly to: 'earliest' | Date;
}

/** Whether the queues of a backend can be read again, for code that takes any backend. */
export function isReplayable(backend: MessagingBackend): backend is ReplayableBackend {
  return backend.capabilities.replay;
}

/** How a queue is made. An adapter may add options of its own. */
export interface QueueOptions {
  /** Topics whose messages the queue receives. Default: none. */
  readonly topics?: readonly string[];
  /**
   * Manifests that the queue wants from the topics of this declaration. Default: all, also where an earlier declaration
   * had a filter. What is published to the queue itself always arrives.
   */
  readonly filter?: readonly string[];
  /**
   * Topics that the queue no longer receives, whoever declared them. What it has received from them stays. One that it
   * was not bound to is no error. Default: none.
   */
  readonly removeTopics?: readonly string[];
  /**
   * Makes the filter of this declaration's topics exactly what it says (no `filter`: none), instead of adding to
   * what was declared before. Default: false.
   */
  readonly replaceFilter?: boolean;
  /** Queue that takes what cannot be processed. Default: none. */
  readonly deadLetterQueue?: string;
}

/** Bounds of a publish. */
export interface PublishOptions {
  /** Gives up waiting for the confirmation after so many ms. Default: the backend's own. */
  readonly deadlineMs?: number;
}

/** As `PublishOptions`; `delayMs` compiles only for a broker that can delay. */
export type PublishToQueueOptions<Features extends Capabilities> = PublishOptions &
  (Features['delayedDelivery'] extends true
    ? {
        /** Becomes visible to subscribers after so many ms. Default: at once. */
        readonly delayMs?: number;
      }
    : { readonly delayMs?: never });

/** How messages are received. */
export interface SubscribeOptions {
  /** Maximal number of deliveries that are handed over and not settled. At least 1. */
  readonly maxInFlight: number;
  /** Ends by itself when the broker has nothing more to deliver now. Default: false. */
  readonly untilEmpty?: boolean;
}

/** An open subscription to a queue. */
export interface Subscription {
  /**
   * Settles when intake is over: resolves after `close()`, or with `untilEmpty` when the broker had nothing
   * more; rejects when the backend gives the subscription up for good. Lost connections do not end it.
   */
  readonly ended: Promise<void>;
  /**
   * Stops intake at once, in the same turn: `receive` is not called again, and what was buffered goes back
   * to the broker. Resolves when every delivery that was handed over is settled. Idempotent.
   */
  close(): Promise<void>;
}

/**
 * A message handed over for processing, settled exactly once. A second settlement rejects with `DELIVERY_SETTLED`.
 * Settling a delivery that was lost to a reconnect does nothing: the broker delivers the message again. A settlement that
 * fails rejects, and leaves the message with the broker, which delivers it again.
 */
export interface Delivery {
  /** The message as it was published, also after retries. */
  readonly message: Message;
  /**
   * 1 + the runs that failed before: the retries with `because: 'failed'`, across restarts. Being handed out, given
   * back, or lost with a process or a connection never counts.
   */
  readonly attempt: number;
  /**
   * How often the broker handed the message out since its last `failed` or `deferred` retry and did not see it settled:
   * a process or a connection ended. Includes `release` only where the broker cannot tell it from those. Default: 0,
   * also where the broker does not tell.
   */
  readonly redeliveries?: number;
  /** Aborted with a `DeliveryAbortedError` when this process no longer holds the delivery. Made on first use. */
  readonly signal: AbortSignal;
  /** Whether `signal` is, or would be, aborted, without making the signal. Default: callers read `signal`. */
  readonly isAborted?: boolean;
  /** The message was processed and leaves the broker. Returns a promise only where there is something to wait for, or it failed. */
  acknowledge(): MaybePromise<void>;
  /** Comes again after `delayMs`, as `because` says. The message is never absent from the broker. */
  retry(options?: RetryOptions): Promise<void>;
  /**
   * Goes to the queue's dead-letter queue, confirmed there before it leaves here.
   * Rejects with `CONFIGURATION`, leaving the delivery unsettled, when the queue has none.
   */
  deadLetter(options: DeadLetterOptions): Promise<void>;
  /** Gives the message back without having run it: it is delivered again at once, in its old place where the broker can. */
  release(): Promise<void>;
}

/** When a message comes again, and as which attempt. */
export interface RetryOptions {
  /** Pause in ms. Default: 0. */
  readonly delayMs?: number;
  /** Default: `failed`. */
  readonly because?: RetryCause;
}

/**
 * Why a message comes again. `failed`: it ran and failed; comes as `attempt + 1`, with 0 `redeliveries`. `deferred`: it
 * ran, and its handler asked to wait; comes as the same attempt, with 0 `redeliveries`. `not-run`: it did not run; comes
 * as the same attempt, with as many `redeliveries` as before.
 */
export type RetryCause = 'failed' | 'deferred' | 'not-run';

/** What is known of a queue. */
export interface QueueDescription {
  /** Whether there is a queue of that name. */
  readonly exists: boolean;
  /** Approximate number of messages waiting, without those in flight. */
  readonly depth: number;
  /**
   * Name of its dead-letter queue, as messages are consumed from it, whichever process declared it; `undefined` when
   * it has none.
   */
  readonly deadLetterQueue: string | undefined;
  /** Approximate number of messages handed out and not settled, by all processes; `undefined` where the broker does not tell. */
  readonly inFlight?: number | undefined;
  /** Topics that it receives, in alphabetical order; `undefined` where the broker does not tell. */
  readonly topics?: readonly string[] | undefined;
  /**
   * Manifests that it wants from its topics, in alphabetical order, of all topics together; `undefined` when it takes
   * all from one of them, and where the broker does not tell.
   */
  readonly filter?: readonly string[] | undefined;
}
