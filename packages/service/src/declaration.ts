import type {
  Consumer,
  DeduplicationCache,
  DeduplicationOptions,
  Logger,
  MessageClass,
  MessagingBackend,
  Middleware,
  Ordering,
  RetryPolicy,
  Serializer,
} from '@melange/core';
import type { FlowControl } from './flow/flow-control.ts';

/** One broker, or several by name. */
export type ServiceBackends = MessagingBackend | Readonly<Record<string, MessagingBackend>>;

/** What `defineService` is given. */
export interface ServiceDeclaration {
  /** Name of the service: of its consumers, in log lines, in metrics. Stable across deployments. */
  readonly name: string;
  /**
   * The broker; or several by name. Of several, a queue or topic lives on the one that its `backend` names, else on the
   * one of its own name, else on the one called `default`.
   */
  readonly backend: ServiceBackends;
  /** Every class of message that the service reads or publishes. JSON, unless `bindings` say otherwise. */
  readonly messages: readonly MessageClass[];
  /** Serializers by name, besides `json`. Default: none. */
  readonly serializers?: Readonly<Record<string, Serializer>>;
  /** Which classes, with their subclasses, go to which of `serializers`. Default: none. */
  readonly bindings?: readonly (readonly [MessageClass, string])[];
  /** Remembers what was processed, for every queue. Default: none, so that a message delivered twice is processed twice. */
  readonly cache?: DeduplicationCache;
  /** How the cache is used. Default: the defaults of `DeduplicationOptions`. */
  readonly deduplication?: DeduplicationOptions;
  /** The queues that it consumes, by name; all are declared at the start. Default: none. */
  readonly queues?: Readonly<Record<string, QueueDeclaration>>;
  /** What it publishes to which topic; all are declared at the start. Default: none. */
  readonly publishes?: Readonly<Record<string, TopicDeclaration>>;
  /** What it sends to which queue. Queues of other services are theirs to declare. Default: none. */
  readonly sends?: Readonly<Record<string, SendDeclaration>>;
  /** Delays and number of attempts, where a queue says nothing else. Default: `exponentialBackoff()`. */
  readonly retry?: RetryPolicy;
  /** Around each run of a handler, of every queue, outside of the queue's own. Default: none. */
  readonly middleware?: readonly Middleware[];
  /** Told what happens. Default: `info` to standard output, warnings and errors to standard error. */
  readonly logger?: Logger;
  /** How long `stop` waits for running handlers, in ms. Default: 25,000, for orchestrators mostly grant 30,000. */
  readonly deadlineMs?: number;
  /** Whether `stop` closes the backends and the cache. `false` where others use them too. Default: true. */
  readonly closesResources?: boolean;
}

/** A queue that the service consumes. */
export interface QueueDeclaration {
  /** Topics whose messages the queue receives; declared at the start. Default: none. */
  readonly topics?: readonly string[];
  /**
   * Manifests or message classes that the queue wants from its topics. `'all'` takes every message, those of foreign
   * publishers without a manifest included. Default: those that have a handler; all where there are `consumers`, for
   * nobody knows what they accept.
   */
  readonly filter?: 'all' | readonly (string | MessageClass)[];
  /** Queue that takes what cannot be processed; declared at the start. Default: none. */
  readonly deadLetterQueue?: string;
  /** Name of its backend, where the service has several. Default: the backend of the queue's own name, else `default`. */
  readonly backend?: string;
  /** Further settings of the backend's own `declareQueue`. Default: none. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** Messages of this queue processed at once, by each process. Default: 10, or `maxMessages` of its `onBatch` if that is more. */
  readonly concurrency?: number;
  /** Which messages may overtake each other, see `Ordering`. Default: `none`. */
  readonly ordering?: Ordering;
  /** Delays and number of attempts. Default: those of the service. */
  readonly retry?: RetryPolicy;
  /** Around each run of a handler, the first outermost. Default: none. */
  readonly middleware?: readonly Middleware[];
  /** What happens to messages without a handler. Default: that of `MessageDispatcher`. */
  readonly unhandled?: 'acknowledge' | 'dead-letter' | 'retry';
  /** So often a message may be handed out without ever being settled. Default: that of `MessageDispatcher`. */
  readonly maxRedeliveries?: number;
  /**
   * After so many ms the handler's `signal` is aborted. Until the handler settles it keeps its place in `concurrency`, and
   * what it comes to counts. Default: never.
   */
  readonly handlerTimeoutMs?: number;
  /** Acknowledge whatever the handlers did. Default: false. */
  readonly alwaysAck?: boolean;
  /** Acknowledge before processing: a crash or a failure then loses the message. Default: false. */
  readonly earlyAck?: boolean;
  /** How the cache is used. Default: as the service says. */
  readonly deduplication?: DeduplicationOptions;
  /** How many messages are processed in which time: `rateLimit(…)` of `@melange/service/flow-control`. Default: no limit. */
  readonly rateLimit?: FlowControl;
  /**
   * Stops intake while what the handlers need is away: `circuitBreaker(…)` of `@melange/service/flow-control`. One that
   * several queues are given is one circuit. Default: none.
   */
  readonly circuitBreaker?: FlowControl;
  /** Consumers of your own, beside the handlers. Default: none. */
  readonly consumers?: readonly Consumer[];
}

/** The classes that a topic carries; with their backends, where the service has several. */
export type TopicDeclaration = readonly MessageClass[] | BoundTopic;

/** A topic with its place. */
export interface BoundTopic {
  /** The classes that the topic carries. */
  readonly messages: readonly MessageClass[];
  /** Name of its backend; of several, each gets every message. Default: as for queues. */
  readonly backend?: string | readonly string[];
}

/** The classes that are sent to a queue; with its backend, where the service has several. */
export type SendDeclaration = readonly MessageClass[] | BoundSend;

/** A queue that is sent to, with its place. */
export interface BoundSend {
  /** The classes that are sent to the queue. */
  readonly messages: readonly MessageClass[];
  /** Name of its backend. Default: as for queues. */
  readonly backend?: string;
}
