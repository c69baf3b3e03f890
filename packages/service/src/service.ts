import type {
  BatchEnvelopeOptions,
  ConsumeContext,
  DispatcherCounters,
  EnvelopeOptions,
  Health,
  Logger,
  MaybePromise,
  MessageClass,
  MessageDispatcher,
  MessageDispatcherOptions,
  MessagingBackend,
  OutgoingMessage,
  PublishOptions,
  PublishToQueueOptions,
  SerializerRegistry,
} from '@melange/core';
import type { BatchAnswer, BatchOptions } from './batch/batcher.ts';
import type { ServicePlan } from './service-plan.ts';
import type { Handling, InstanceOf, Readable, ServiceShape, Unhandled } from './shape.ts';
import type { ServiceTest, ServiceTestOptions } from './testing/service-test.ts';

/** A service of `defineService`, whatever it declares: for code that takes any. */
export interface AnyService {
  /** Name of the service. */
  readonly name: string;
  /** What it is, as data: queues with their handlers, topics, and where they live. */
  readonly plan: ServicePlan;
  /** Every class of message that it reads or publishes. */
  readonly messages: readonly MessageClass[];
  /** The serializers of its messages. */
  readonly serializers: SerializerRegistry;
  /** Its backends by name; a single one is called `default`. */
  readonly backends: Readonly<Record<string, MessagingBackend>>;

  /** As the methods of `Service`, checked at run time only. */
  readonly publishing: ServicePublishing;

  /**
   * Declares topics and queues, waiting for brokers that are away, and begins to consume. Resolves when that is done for
   * every backend: a queue whose broker is there does not wait for the others.
   *
   * @throws MelangeError `BROKER_UNAVAILABLE` with `failFast`; `TOPOLOGY_CONFLICT` and what else keeps it from starting;
   * `CLOSED` when it was stopped. It is stopped by then, so that nothing is left running.
   */
  start(options?: StartOptions): Promise<void>;

  /**
   * Stops intake at once, waits for running handlers up to the deadline, then closes backends and cache. Resolves when
   * all of it is done. Idempotent: a further call waits for the first one.
   */
  stop(options?: StopOptions): Promise<void>;

  /** Settles when the service is over: resolves after `stop`, rejects with what ended the consumption of a queue. */
  readonly ended: Promise<void>;

  /**
   * The main program of a service: `start`, and `stop` at SIGTERM or SIGINT; serves `GET /live /ready /metrics /queues` where
   * a port is given. Resolves when all is closed, with `process.exitCode` set: 0 after a signal, 1 after a failure, which is
   * logged. A second signal ends the process at once.
   */
  run(options?: RunOptions): Promise<void>;

  /** The worst of its queues and backends: unhealthy before it has started, and while it stops. Never throws. */
  health(): Promise<ServiceHealth>;

  /** What consumes its queues, by queue, once it has started. */
  readonly dispatchers: Readonly<Record<string, MessageDispatcher>>;

  /** What was done so far, by queue. */
  counters(): Readonly<Record<string, DispatcherCounters>>;

  /**
   * A dispatcher with all that the service says of the queue, handlers included: for those who run it themselves. It does
   * not begin to consume.
   *
   * @param options take the place of what the service says, such as another `backend`.
   * @throws MelangeError `CONFIGURATION` for a queue that is not declared.
   */
  dispatcherFor(queue: string, options?: Partial<MessageDispatcherOptions>): MessageDispatcher;
}

/**
 * A service of `defineService`.
 *
 * `Handled` has the manifests that have a handler, by queue: each `on` answers the same service with one more.
 */
export interface Service<Shape extends ServiceShape = ServiceShape, Handled extends string = never>
  extends AnyService,
    ServicePublishing<Shape> {
  /**
   * Processes the messages of `type`, and of its subclasses that have no handler of their own, on one of the queues.
   * Resolving acknowledges a message; throwing has it retried, `Reject` dead-letters it at once, `RetryLater` chooses the
   * delay. Answers the service itself.
   *
   * @throws MelangeError `CONFIGURATION` when the type has a handler on that queue, is none of the service's messages, or the
   * service was started.
   */
  on<Queue extends Shape['queues'], Type extends MessageClass>(
    queue: Queue,
    type: Type & Readable<Shape, Type> & Unhandled<Handled, Queue, Type>,
    handler: ServiceHandler<InstanceOf<Type>, Shape>,
  ): Service<Shape, Handled | Handling<Queue, Type>>;

  /**
   * As `on`, with many messages in one call: as many as come within `maxWaitMs`, up to `maxMessages`. The handler answers
   * nothing when all are done, or one result for each, as `Promise.allSettled` does; what it throws counts for all. Claims,
   * retries and dead letters are each message's own, and a message that failed before comes alone. With `ordering: 'key'` a
   * batch has at most one message of a key.
   *
   * @throws MelangeError `CONFIGURATION` as `on`; for numbers that make no sense; for a queue with `ordering: 'queue'`, which
   * hands over one message at a time.
   */
  onBatch<Queue extends Shape['queues'], Type extends MessageClass>(
    queue: Queue,
    type: Type & Readable<Shape, Type> & Unhandled<Handled, Queue, Type>,
    options: BatchOptions,
    handler: ServiceBatchHandler<InstanceOf<Type>, Shape>,
  ): Service<Shape, Handled | Handling<Queue, Type>>;

  /** The same service in memory, in time that passes only when it is told to. This one is not started by it. */
  test(options?: ServiceTestOptions): Promise<ServiceTest<Shape>>;
}

/** Processes messages of one type. */
export type ServiceHandler<Message, Shape extends ServiceShape = ServiceShape> = (
  message: Message,
  context: HandlerContext<Shape>,
) => MaybePromise<void>;

/** Processes many messages of one type in one call. */
export type ServiceBatchHandler<Message, Shape extends ServiceShape = ServiceShape> = (
  messages: readonly Message[],
  context: ServiceBatchContext<Shape>,
) => MaybePromise<BatchAnswer>;

/** What a batch handler is given besides the messages. What it publishes by itself follows from no single message. */
export interface ServiceBatchContext<Shape extends ServiceShape = ServiceShape>
  extends ServicePublishing<Shape> {
  /** Name of the queue that the messages came from. */
  readonly queue: string;
  /** The context of each message, in the order of the messages: what is published by it follows from that message. */
  readonly contexts: readonly HandlerContext<Shape>[];
  /** Aborted when the work on every one of the messages will not count any more. */
  readonly signal: AbortSignal;
  /** The service's logger. */
  readonly logger: Logger;
}

/** What a service can publish. Each method stands alone: `const { publish } = context`. */
export interface ServicePublishing<Shape extends ServiceShape = ServiceShape> {
  /**
   * Publishes to a topic; resolves with the message's id when the broker has safely taken it. Of a topic on several
   * brokers: when all of them have.
   *
   * @throws MelangeError `MESSAGE_INVALID` for a message of a class that the topic does not carry, such as a plain object.
   * @throws SerializationError, TopicNotFoundError, PublishError.
   */
  publish<Topic extends keyof Shape['publishes'] & string>(
    this: void,
    topic: Topic,
    message: InstanceOf<Shape['publishes'][Topic]>,
    options?: EnvelopeOptions & PublishOptions,
  ): Promise<string>;

  /**
   * As `publish`, for many, in order. Nothing is sent when one of them cannot be serialized. The options are those of every
   * message; an item's own envelope counts more.
   */
  publishBatch<Topic extends keyof Shape['publishes'] & string>(
    this: void,
    topic: Topic,
    batch: readonly OutgoingMessage<InstanceOf<Shape['publishes'][Topic]>>[],
    options?: BatchEnvelopeOptions & PublishOptions,
  ): Promise<string[]>;

  /** As `publish`, to one of the queues under `sends`. `delayMs` compiles where its broker can delay. */
  send<Queue extends keyof Shape['sends'] & string>(
    this: void,
    queue: Queue,
    message: InstanceOf<Shape['sends'][Queue]['messages']>,
    options?: EnvelopeOptions & PublishToQueueOptions<Shape['sends'][Queue]['features']>,
  ): Promise<string>;

  /** As `send`, for many, in order. Nothing is sent when one of them cannot be serialized. */
  sendBatch<Queue extends keyof Shape['sends'] & string>(
    this: void,
    queue: Queue,
    batch: readonly OutgoingMessage<InstanceOf<Shape['sends'][Queue]['messages']>>[],
    options?: BatchEnvelopeOptions & PublishToQueueOptions<Shape['sends'][Queue]['features']>,
  ): Promise<string[]>;
}

/** What a handler is given besides the message. What it publishes carries `correlationId` and `causationId` on. */
export interface HandlerContext<Shape extends ServiceShape = ServiceShape>
  extends ConsumeContext,
    ServicePublishing<Shape> {
  /** Name of the queue that the message came from. */
  readonly queue: string;
  /** The service's logger; each line has queue, message id, attempt and correlation id among its facts. */
  readonly logger: Logger;
}

/** How a service starts. */
export interface StartOptions {
  /** Fail when a broker is away, instead of waiting for it. Default: false. */
  readonly failFast?: boolean;
  /** Ends the wait for a broker: `start` then rejects with its reason. Default: none. */
  readonly signal?: AbortSignal;
}

/** How a service stops. */
export interface StopOptions {
  /** How long to wait for running handlers, in ms. Default: as the service says. */
  readonly deadlineMs?: number;
}

/** How a service is, in whole and in parts. */
export interface ServiceHealth extends Health {
  /** Each queue that is consumed. */
  readonly queues: Readonly<Record<string, Health>>;
  /** Each backend. */
  readonly backends: Readonly<Record<string, Health>>;
}

/** Text for `GET /metrics`. Default of what takes one: `metricsText` of `@melange/metrics`. */
export type Metrics = (service: AnyService) => MaybePromise<string>;

/** How `run` runs a service. */
export interface RunOptions extends StartOptions, StopOptions {
  /** Serves `GET /live /ready /metrics /queues` there; 0 takes a free port, which is logged. Default: nothing listens. */
  readonly port?: number;
  /** Address to listen at. Default: every one. */
  readonly host?: string;
  /** Text for `GET /metrics`. Default: those of `@melange/metrics`, as Prometheus reads them. */
  readonly metrics?: Metrics;
  /** Stops the service as a signal of the process does. Default: none. */
  readonly signal?: AbortSignal;
}
