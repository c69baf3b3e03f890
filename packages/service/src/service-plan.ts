import type { Ordering } from '@melange/core';

/** What a service is, as data. */
export interface ServicePlan {
  /** Name of the service. */
  readonly name: string;
  /** Its backends by name, each with its technology. */
  readonly backends: Readonly<Record<string, string>>;
  /** The queues that it consumes. */
  readonly queues: readonly QueuePlan[];
  /** The topics that it publishes to. */
  readonly topics: readonly DestinationPlan[];
  /** The queues that it sends to. */
  readonly sends: readonly DestinationPlan[];
}

/** A queue that the service consumes. */
export interface QueuePlan {
  /** Name of the queue. */
  readonly name: string;
  /** Name of its backend. */
  readonly backend: string;
  /** Topics whose messages it receives. */
  readonly topics: readonly string[];
  /** Manifests that it wants from its topics; `undefined`: all. */
  readonly filter: readonly string[] | undefined;
  /** Queue that takes what cannot be processed. */
  readonly deadLetterQueue: string | undefined;
  /** Further settings of the backend's own `declareQueue`, where there are any. */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** Messages processed at once. */
  readonly concurrency: number;
  /** Which messages may overtake each other. */
  readonly ordering: Ordering;
  /** Manifests of the classes that have a handler. */
  readonly handles: readonly string[];
  /** Names of its consumers. */
  readonly consumers: readonly string[];
}

/** A topic, or a queue that is sent to. */
export interface DestinationPlan {
  /** Name of the topic or queue. */
  readonly name: string;
  /** Names of its backends: one, or several where a topic is on several. */
  readonly backends: readonly string[];
  /** Manifests that it carries. */
  readonly manifests: readonly string[];
}
