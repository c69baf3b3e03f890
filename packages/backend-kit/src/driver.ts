import type {
  AbortReason,
  Clock,
  DeadLetterOptions,
  Logger,
  MaybePromise,
  MelangeError,
  MelangeErrorCode,
  Message,
  QueueDescription,
  QueueOptions,
} from '@melange/core';
import type { BrowseDriver } from './browsing.ts';
import type { NameRules } from './checks.ts';
import type { Troubles } from './health/troubles.ts';

/**
 * What an adapter's author writes: how one broker does things. `defineBackend` makes a `MessagingBackend` of it and
 * holds everything that is the same for each broker.
 *
 * Every method may reject with whatever the client library throws: `explain` says what it means. The kit calls no
 * method before `connect` has resolved, except `encode`, `limitsOf` and `explain`, which must be pure.
 */
export interface Driver<Options extends QueueOptions, Encoded, Taken extends Received> {
  /** Names of queues that the broker takes, and of topics unless `topicNames` says otherwise. */
  readonly names: NameRules;
  /** Names of topics that the broker takes. Default: `names`. */
  readonly topicNames?: NameRules;
  /** Where the broker is, as host and port or in words, for messages, and `address` of the backend, where there is no `connection`. Free of credentials. */
  readonly address?: string;
  /** How the connection is made and lost. Without it the driver needs none: it asks by requests of their own, or lives in the process. */
  readonly connection?: ConnectionDriver;
  /** Declaring, describing and deleting. */
  readonly topology: TopologyDriver<Options>;
  /** Sending: in batches that the broker answers, or at once. */
  readonly publishing: PublishDriver<Encoded> | DirectPublishDriver;
  /** Receiving and settling. */
  readonly consuming: PullDriver<Taken> | PushDriver<Taken>;
  /** Looking into queues. Present where `capabilities.browse` is true. */
  readonly browsing?: BrowseDriver;
  /** What an error of the client library means. Pure; never throws. */
  explain(error: unknown): Fault;
  /** Frees what the driver opened. Nothing of it is called afterwards. Waited for up to 5 s. */
  close(): MaybePromise<void>;
}

/**
 * What an error means. `missing`: the queue or topic does not exist. `unavailable`: the broker cannot do it now and may
 * later, or its answer was lost; the kit tries again, and a publish fails at its deadline with `code` (default:
 * `PUBLISH_TIMEOUT`). A `MelangeError`: refused for good, and why.
 */
export type Fault =
  | { readonly kind: 'missing' }
  | { readonly kind: 'unavailable'; readonly reason: string; readonly code?: MelangeErrorCode }
  | { readonly kind: 'refused'; readonly error: MelangeError };

/** What the kit gives a driver when it makes it. */
export interface DriverContext {
  /** Never throws. */
  readonly logger: Logger;
  /** Time: a test or a simulation may give another. */
  readonly clock: Clock;
  /** What does not work at present. The kit reports connecting, receiving, settling and publishing by itself. */
  readonly troubles: Troubles;
  /**
   * The connection that `ConnectionDriver` made is gone. The kit makes it again.
   *
   * @param connection which one, where sending has a connection of its own. Default: that of the driver.
   */
  connectionLost(reason: string, connection?: ConnectionDriver): void;
  /**
   * Publishes what the driver writes by itself, such as the copy of a message that comes again or is dead: in the same batches,
   * with the same deadline, and sent again, as messages of applications are. Resolves when the broker has taken it. For drivers that
   * `send`.
   *
   * @param encoded as `PublishDriver.encode` makes it of a message.
   * @param delayMs pause in ms before subscribers see it. Default: 0.
   * @throws QueueNotFoundError, TopicNotFoundError, MelangeError `PUBLISH_TIMEOUT`, and whatever `explain` says is refused.
   */
  publish(destination: Destination, id: string, encoded: unknown, delayMs?: number): Promise<void>;
  /**
   * The broker's answer to a request of the driver's own, which is idempotent: made again while the broker is unavailable, for
   * `requestTimeoutMs`.
   *
   * @param subject queue or topic that it is about.
   * @throws QueueNotFoundError, BrokerUnavailableError, and whatever `explain` says is refused.
   */
  ask<Answer>(subject: string, request: () => Promise<Answer>): Promise<Answer>;
}

/** How the connection to the broker is made. The kit makes it on first use, and makes it again, with growing pauses, when it was lost. */
export interface ConnectionDriver {
  /** Host and port, for messages, and `address` of the backend. Free of credentials. */
  readonly address: string;
  /** Longest time to connect, in ms. */
  readonly timeoutMs: number;
  /** Connects, and leaves the driver as if it were new: what hung on the old connection is gone. */
  connect(signal: AbortSignal): Promise<void>;
}

/** Queues and topics at the broker. Each method is idempotent and may be called at the same time as others. */
export interface TopologyDriver<Options extends QueueOptions> {
  /** Makes a topic. */
  declareTopic(name: string): Promise<void>;
  /**
   * Makes a queue, its topics and its dead-letter queue.
   *
   * @throws TopologyConflictError when it exists with other settings; nothing is changed.
   */
  declareQueue(name: string, options: Options): Promise<void>;
  /** What is known of a queue; `exists: false` where there is none, which an error that `explain` calls missing says too. */
  describeQueue(name: string): Promise<QueueDescription>;
  /** As much of it as a subscription needs, where describing a queue takes more requests. Default: `describeQueue`. */
  findQueue?(name: string): Promise<Pick<QueueDescription, 'exists' | 'deadLetterQueue'>>;
  /** Removes a queue, if there is one: an error that `explain` calls missing says that there was none. */
  deleteQueue(name: string): Promise<void>;
  /** Removes a topic, if there is one. */
  deleteTopic(name: string): Promise<void>;
  /** Longest time in ms of one try to declare a queue, where that may take longer than an answer. Default: `requestTimeoutMs`. */
  readonly maxDeclareMs?: number;
  /** Whether what was declared has to be declared again on a new connection. Default: false, the broker keeps it. */
  readonly isForgottenByConnection?: boolean;
}

/** Where messages go. */
export interface Destination {
  /** What it is. */
  readonly kind: 'queue' | 'topic';
  /** Name that it was declared by. */
  readonly name: string;
  /** The part of it that `LaneDriver.laneOf` chose. */
  readonly lane?: number;
}

/** One message on its way. */
export interface Outgoing<Encoded> {
  /** Id of the message: the same when it is sent again. */
  readonly id: string;
  /** As `encode` made it. */
  readonly encoded: Encoded;
  /** Pause in ms before subscribers see it; 0 unless the broker can delay. */
  readonly delayMs: number;
  /** Whether its deadline has passed, so that nobody waits for it: a driver that holds a batch back does not send it. */
  readonly isSettled: boolean;
}

/** Bounds of the batches to one destination, or to one lane of it. */
export interface BatchLimits {
  /** Most messages of one batch. */
  readonly maxMessages: number;
  /** Most bytes of one batch; a larger message goes alone. */
  readonly maxBytes: number;
  /** Batches under way at once. Default: 1, so that nothing overtakes what is sent again. */
  readonly maxUnderWay?: number;
  /**
   * For a broker that takes batches in the order in which they were sent: one that is sent again waits for those before it, and no
   * new one is sent meanwhile, so that the messages of a lost connection keep their order. Only what the broker took while it
   * refused an earlier batch for now stays before that one. Default: false.
   */
  readonly inOrder?: boolean;
  /**
   * Wait in ms for a batch to fill while another one is under way; of acknowledgements, while the subscription has other
   * deliveries that may join. What is published or acknowledged alone never waits. Default: 0.
   */
  readonly lingerMs?: number;
}

/** Nothing when every message of a batch was taken; else an error in the place of each that was not. */
export type BatchAnswer = readonly unknown[] | undefined;

/** What the driver does to send. */
export interface PublishDriver<Encoded> {
  /** A connection of its own for sending, where the broker may stop a connection that sends. Default: that of the driver. */
  readonly connection?: ConnectionDriver;
  /**
   * The message as the broker takes it. Called once, in the turn of the publish: what its owner changes later must not show.
   *
   * @throws MelangeError `MESSAGE_INVALID`, MessageTooLargeError for what the broker would never take.
   */
  encode(message: Message, destination: Destination): Encoded;
  /**
   * Called before a publish with a delay.
   *
   * @throws MelangeError `UNSUPPORTED` for a delay that this destination cannot keep. Default: every delay is kept.
   */
  checkDelay?(destination: Destination, delayMs: number): void;
  /** Size for `BatchLimits.maxBytes`. */
  bytesOf(encoded: Encoded): number;
  /** Present where a destination has parts that are written to by themselves, such as partitions. */
  readonly lanes?: LaneDriver<Encoded>;
  /** Asked once for each destination. */
  limitsOf(destination: Destination): BatchLimits;
  /**
   * Sends one batch, in order. Rejects when the batch failed as a whole, or when it is not known what became of it: a
   * destination that refuses a batch for good is a trouble. What is wrong with one message is answered in its place.
   *
   * @param signal aborted when nobody waits for the batch any more.
   * @param taken tells that the broker has taken the message of this place, before the answer for the whole batch: for a broker that
   * confirms messages one by one, so that who published one does not wait for the others.
   */
  send(
    destination: Destination,
    batch: readonly Outgoing<Encoded>[],
    signal: AbortSignal,
    taken: (place: number) => void,
  ): MaybePromise<BatchAnswer>;
}

/** What the driver does to send where the broker takes a message in the turn of the call, as one in this process does. */
export interface DirectPublishDriver {
  /**
   * Takes one message: `encode` and `send` in one. What its owner changes later must not show.
   *
   * @param delayMs pause in ms before subscribers see it; 0 unless the broker can delay.
   * @throws what `explain` understands, when the message is not taken. It is not offered again.
   */
  put(message: Message, destination: Destination, delayMs: number): void;
}

/**
 * Parts of a destination. Each has batches of its own, in order, so that a part in trouble delays, repeats or fails
 * no message of another one. A message that is sent again stays in its lane.
 */
export interface LaneDriver<Encoded> {
  /** Whether `laneOf` may be asked. Asked for each message. */
  isKnown(destination: Destination): boolean;
  /**
   * Finds out which lanes there are. Messages of the destination wait for it, up to their deadlines; a rejection counts as one of
   * `send`. Afterwards `isKnown` is true.
   */
  find(destination: Destination): Promise<void>;
  /** The lane of a message. */
  laneOf(destination: Destination, encoded: Encoded): number;
}

/** A message that the broker handed out, with all that the driver needs to settle it. */
export interface Received {
  /** Its own: the handler may do with it what it likes. */
  readonly message: Message;
  /** 1 + the runs that failed before. */
  readonly attempt: number;
  /** How often the broker handed it out before without seeing it settled. */
  readonly redeliveries: number;
  /**
   * Since when the broker leases it, of the monotonic clock, in ms. Default: the earliest time at which the answer that
   * brought it can have been given.
   */
  readonly leasedAt?: number;
}

/** How a message comes again. */
export interface Again {
  /** Pause in ms. */
  readonly delayMs: number;
  /** Attempt that it comes as. */
  readonly attempt: number;
  /** Redeliveries that it comes with, before those that the broker adds. */
  readonly redeliveries: number;
}

/**
 * What the driver does to settle. Each call is made once for each message; one that rejects as `unavailable` is made
 * again while the message is surely still ours.
 */
export interface SettleDriver<Taken extends Received> {
  /** The messages leave the broker. */
  acknowledge(batch: readonly Taken[]): MaybePromise<BatchAnswer>;
  /** Bounds of the requests to acknowledge. Default: 1,000 messages, one request at a time. */
  readonly acknowledging?: Partial<BatchLimits>;
  /**
   * In place of `acknowledge` where there is no answer to wait for. Resolves when the acknowledgement is on its way, if it is not at
   * once: many may share one promise. Must not throw, nor reject.
   */
  finish?(taken: Taken): MaybePromise<void>;
  /**
   * The message comes again. It is never absent from the broker. A copy is written of what the broker delivered: the handler
   * may have changed `taken.message`.
   */
  retry(taken: Taken, again: Again): MaybePromise<void>;
  /**
   * Confirms the copy in the dead-letter queue before the message leaves its queue.
   *
   * @param copy the message, `asDelivered`, with the circumstances in its headers.
   */
  deadLetter(
    taken: Taken,
    deadLetterQueue: string,
    copy: Message,
    options: DeadLetterOptions,
  ): MaybePromise<void>;
  /** The message anew, as the broker delivered it. Default: `taken.message`, with what its handler changed in it. */
  asDelivered?(taken: Taken): Message;
  /**
   * They come again at once, in their old place and order where the broker can.
   *
   * @param wereRunning whether the close of the backend took them from handlers that had begun: a broker that counts
   * redeliveries counts this one, for a handler that ends its process in order must not come again for ever.
   */
  release(batch: readonly Taken[], wereRunning: boolean): MaybePromise<void>;
  /** Present where the broker gives messages for a time and takes them back. */
  readonly leases?: LeaseDriver<Taken>;
}

/** How messages are kept while they are worked on. */
export interface LeaseDriver<Taken extends Received> {
  /** For how long the broker gives a message, in ms. Renewed at a third of it. */
  readonly leaseMs: number;
  /** From now on the messages are ours for `leaseMs` more. Resolves with those that are not ours any more, or with more than that. */
  renew(batch: readonly Taken[]): Promise<readonly Taken[] | Renewal<Taken>>;
  /** Most messages of one renewal; further ones are renewed at the same time, and fail by themselves. Default: no bound. */
  readonly maxPerRenewal?: number;
  /** The lease ended, or the broker has taken the message back: nothing of it is settled any more. Must not throw. */
  lost?(taken: Taken): void;
}

/** What became of a renewal. All that is not named is ours for `leaseMs` more. */
export interface Renewal<Taken> {
  /** Not ours any more. */
  readonly lost: readonly Taken[];
  /** Ours for as long as before. */
  readonly failed: readonly Taken[];
  /** Why they failed. */
  readonly reason?: string;
}

/** What a driver of either kind is asked for when a queue is subscribed to. */
export interface SubscriptionContext {
  /** Name of the queue. */
  readonly queue: string;
  /** Bound of unsettled messages. */
  readonly maxInFlight: number;
  /** Whether the subscription ends when the queue is empty. */
  readonly untilEmpty: boolean;
}

/** What the kit does and knows for an intake that is asked for messages. */
export interface PullContext<Taken extends Received> extends SubscriptionContext {
  /** There may be something in the queue. */
  wake(): void;
  /**
   * The messages that are handed over and whose settlement has no answer. A broker that has more of them under the name of
   * this intake gave those by an answer that was lost.
   */
  held(): readonly Taken[];
  /** The broker has taken messages back, or they are gone with their queue: their deliveries are lost. */
  takenBack(batch: readonly Taken[], why: string): void;
}

/** A broker that is asked for messages. */
export interface PullDriver<Taken extends Received> {
  /** Tells it from a push driver. */
  readonly kind: 'pull';
  /** Opens an intake. */
  open(context: PullContext<Taken>): MaybePromise<PullSource<Taken>>;
}

/** An open intake of a broker that is asked for messages. */
export interface PullSource<Taken extends Received> extends SettleDriver<Taken> {
  /**
   * Takes up to `max` messages. Waits for the first one where the broker can wait.
   *
   * @param signal aborted when the intake stops: end the wait. What arrives even so is given back by the kit.
   * @param maxWaitMs longest wait at the broker, in ms: 0 with `untilEmpty`, and never more than a sixth of a lease, which counts from
   * before this call.
   */
  take(max: number, signal: AbortSignal, maxWaitMs: number): Promise<Take<Taken>>;
  /** Most requests of `take` at once. Default: 1. */
  readonly maxTakes?: number;
  /** Most messages that one `take` is asked for. Default: as many as there is room for. */
  readonly maxMessagesPerTake?: number;
  /**
   * Wait in ms for room for a whole request, where a request costs the same for one message as for many. Default: 0.
   */
  readonly lingerMs?: number;
  /** Frees the intake, when nothing of it is unsettled. */
  close(): MaybePromise<void>;
}

/** Answer to one request for messages. */
export interface Take<Taken extends Received> {
  /** Messages in the order of the broker. */
  readonly taken: readonly Taken[];
  /** When to ask again if fewer came than were asked for, in ms; sooner when `wake` is called. Default: at once, for `take` waits itself. */
  readonly nextMs?: number;
  /** Whether the queue is empty, for `untilEmpty`. Default: nothing was taken. */
  readonly isEmpty?: boolean;
}

/** A broker that sends messages by itself, up to a prefetch. */
export interface PushDriver<Taken extends Received> {
  /** Tells it from a pull driver. */
  readonly kind: 'push';
  /** Opens an intake; called again when it was lost. */
  open(context: SubscriptionContext, intake: Intake<Taken>): Promise<PushSource<Taken>>;
}

/** Where a push driver hands its messages over. */
export interface Intake<Taken extends Received> {
  /** A message came. In the order of the broker. */
  deliver(taken: Taken): void;
  /** The queue is empty, for `untilEmpty`. */
  empty(): void;
  /**
   * The broker has taken messages back, to hand them out again: their deliveries are lost. Those that are settled count for nothing.
   *
   * @param reason of their signals. Default: `lease-lost`.
   */
  takenBack(batch: readonly Taken[], why: string, reason?: AbortReason): void;
  /** The intake is gone, and what it delivered is the broker's again. The kit opens another one. */
  lost(error: unknown): void;
}

/** An open intake of a broker that sends messages by itself. */
export interface PushSource<Taken extends Received> extends SettleDriver<Taken> {
  /** No message more; those on their way are given back by the kit. In the same turn as far as the client can. */
  stop(): MaybePromise<void>;
  /** Frees the intake, when nothing of it is unsettled. */
  close(): MaybePromise<void>;
}
