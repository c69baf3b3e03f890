import type { NetworkFault } from '../broker/network.ts';

/** In place of a worker: the process that publishes. */
export const publisher = -1;

/** When a fault strikes: at a time in virtual ms, and from then on after so many steps of its process. */
interface Struck {
  readonly at: number;
  /** The process that it strikes: a worker by its number, or `publisher`. */
  readonly worker: number;
}

/** One thing that goes wrong, and when. */
export type PlannedFault =
  | (Struck & { readonly kind: 'network'; readonly fault: NetworkFault; readonly forMs: number })
  /** Its connections break. */
  | (Struck & { readonly kind: 'cut' })
  /** It ends without a word, at a step, and another process takes its place. */
  | (Struck & { readonly kind: 'crash'; readonly afterSteps: number; readonly forMs: number })
  /** It is told to stop, at a step, and another process takes its place: from then on of version 2 where `isUpgrade`. */
  | (Struck & {
      readonly kind: 'stop';
      readonly afterSteps: number;
      readonly deadlineMs: number;
      readonly forMs: number;
      readonly isUpgrade: boolean;
    })
  /** It stands still, as one that is swapped out. */
  | (Struck & { readonly kind: 'freeze'; readonly forMs: number })
  /** Its wall clock is set. */
  | (Struck & { readonly kind: 'clock-step'; readonly byMs: number })
  /** The deduplication cache answers nobody. */
  | { readonly at: number; readonly kind: 'cache-away'; readonly forMs: number }
  /** The deduplication cache loses all it knows, as a Redis that restarts without persistence. */
  | { readonly at: number; readonly kind: 'cache-forgets' }
  /** Partitions are handed out anew. */
  | { readonly at: number; readonly kind: 'rebalance' }
  /** The broker goes on from where a replica was: what it confirmed in the last ms is forgotten. */
  | { readonly at: number; readonly kind: 'fail-over'; readonly forgetsMs: number }
  /** One queue takes nothing: that of another service, which the handlers publish to. */
  | { readonly at: number; readonly kind: 'queue-away'; readonly forMs: number };

/** What a message is, and what its handler does with it each time that it runs. */
export type HandlerBehaviour =
  | 'succeed'
  /** Takes seconds, and stops when its signal is aborted. */
  | 'slow'
  /** Takes longer than a lease, and stops when its signal is aborted. */
  | 'long'
  /** The same, and does not look at its signal. */
  | 'ignore-signal'
  | 'throw-once'
  | 'throw-always'
  | 'reject'
  | 'retry-later'
  /** Waits for its signal the first time. */
  | 'hang-once'
  /** Publishes to another queue before it is done. */
  | 'forward'
  /** Ends its process, whenever it runs. */
  | 'end-process'
  /** No serializer can read it. */
  | 'undecodable'
  /** No consumer accepts it. */
  | 'unhandled';

/** One message of the workload. */
export interface PlannedMessage {
  /** When it is published, in virtual ms. */
  readonly at: number;
  /** Ordering key. */
  readonly key: string | undefined;
  /** What its handler does. */
  readonly behaviour: HandlerBehaviour;
}

/** Everything that a seed decides before a run begins: it can be read, replayed and made smaller. */
export interface Plan {
  /** Decides latencies and the order of what happens at once, too. */
  readonly seed: number;
  /** How the broker gives messages: for a time, as SQS; on a connection, as RabbitMQ; by partition and offset, as Kafka. */
  readonly family: 'leasing' | 'pushing' | 'partitioned';
  /** Processes of the service. */
  readonly workers: number;
  /** Messages that each of them processes at once. */
  readonly concurrency: number;
  /** As in `MessageDispatcherOptions`. */
  readonly ordering: 'none' | 'key' | 'queue';
  /** How messages leave: when they are done, before they run (`earlyAck`), whatever became of them (`alwaysAck`). */
  readonly acknowledging: 'done' | 'early' | 'always';
  /** Whether workers go on until they are told to stop, or until the queue is empty, again and again. */
  readonly consuming: 'loop' | 'until-empty';
  /** What happens while the deduplication cache does not answer, where there is one. */
  readonly cache: 'none' | 'retry' | 'process';
  /** Whether the queue has a dead-letter queue. */
  readonly hasDeadLetterQueue: boolean;
  /** Consumers that each message has in version 1 of the service; version 2 has one more. */
  readonly consumers: number;
  /** In the order in which they are published. */
  readonly messages: readonly PlannedMessage[];
  /** In the order in which they happen. */
  readonly faults: readonly PlannedFault[];
}

/** Faults end at this time: after it everything must come to rest. */
export const faultsEndMs = 60_000;

/** Whether the message at this place of the plan is published to the topic: every tenth. */
export function isForTopic(place: number): boolean {
  return place % 10 === 9;
}
