import type { NetworkFault } from './network.ts';
import { Random } from './random.ts';

/** In place of a worker: the process that publishes. */
export const publisher = -1;

/** One thing that goes wrong, and when, in virtual ms. */
export type PlannedFault =
  | {
      readonly at: number;
      readonly kind: 'network';
      readonly worker: number;
      readonly fault: NetworkFault;
      readonly forMs: number;
    }
  | { readonly at: number; readonly kind: 'cut'; readonly worker: number }
  | { readonly at: number; readonly kind: 'crash'; readonly worker: number; readonly forMs: number }
  | {
      readonly at: number;
      readonly kind: 'stop';
      readonly worker: number;
      readonly deadlineMs: number;
      readonly forMs: number;
    }
  | { readonly at: number; readonly kind: 'clock-step'; readonly worker: number; readonly byMs: number }
  | { readonly at: number; readonly kind: 'cache-away'; readonly forMs: number };

/** What the handler does with a message, each time that it runs. */
export type HandlerBehaviour =
  | 'succeed'
  | 'slow'
  | 'throw-once'
  | 'throw-always'
  | 'reject'
  | 'retry-later'
  | 'ignore-signal';

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
  /** Decides latencies, too. */
  readonly seed: number;
  /** Whether the broker leases messages or pushes them down a connection. */
  readonly family: 'leasing' | 'pushing';
  /** Processes of the service. */
  readonly workers: number;
  /** Messages that each of them processes at once. */
  readonly concurrency: number;
  /** As in `MessageDispatcherOptions`. */
  readonly ordering: 'none' | 'key' | 'queue';
  /** Whether the processes share a deduplication cache. */
  readonly hasCache: boolean;
  /** Consumers that each message has. */
  readonly consumers: number;
  /** In the order in which they are published. */
  readonly messages: readonly PlannedMessage[];
  /** In the order in which they happen. */
  readonly faults: readonly PlannedFault[];
}

/** Faults end at this time: after it everything must come to rest. */
export const faultsEndMs = 60_000;

/** Makes the plan of a seed. */
export function planOf(seed: number, count = 50): Plan {
  const random = new Random(seed);
  const workers = random.between(1, 3);
  const ordering = random.pick(['none', 'none', 'key', 'queue'] as const);
  const messages = Array.from({ length: count }, (): PlannedMessage => {
    const luck = random.next();
    return {
      at: random.between(0, 30_000),
      key: random.chance(0.5) ? `key-${random.between(1, 4)}` : undefined,
      behaviour:
        luck < 0.6
          ? 'succeed'
          : luck < 0.75
            ? 'slow'
            : luck < 0.87
              ? 'throw-once'
              : luck < 0.9
                ? 'throw-always'
                : luck < 0.93
                  ? 'reject'
                  : luck < 0.97
                    ? 'retry-later'
                    : 'ignore-signal',
    };
  }).sort((one, other) => one.at - other.at);
  const faults = Array.from({ length: random.between(0, 12) }, () => faultOf(random, workers));
  faults.sort((one, other) => one.at - other.at);
  return {
    seed,
    family: random.pick(['leasing', 'pushing'] as const),
    workers,
    concurrency: random.between(1, 8),
    ordering,
    hasCache: random.chance(0.5),
    consumers: random.chance(0.2) ? 2 : 1,
    messages,
    faults,
  };
}

function faultOf(random: Random, workers: number): PlannedFault {
  const at = random.between(0, faultsEndMs - 20_000);
  const worker = random.between(0, workers - 1);
  // Requests of publishers go astray, too.
  const disturbed = random.chance(0.3) ? publisher : worker;
  const forMs = random.between(10, 15_000);
  switch (random.pick(['network', 'network', 'cut', 'crash', 'stop', 'clock-step', 'cache-away'] as const)) {
    case 'network':
      return {
        at,
        kind: 'network',
        worker: disturbed,
        fault: random.pick(['request-lost', 'answer-lost', 'stall', 'late'] as const),
        forMs,
      };
    case 'cut':
      return { at, kind: 'cut', worker };
    case 'crash':
      return { at, kind: 'crash', worker, forMs };
    case 'stop':
      return { at, kind: 'stop', worker, deadlineMs: random.between(0, 3_000), forMs };
    case 'clock-step':
      return { at, kind: 'clock-step', worker, byMs: random.pick([-3_600_000, 3_600_000]) };
    case 'cache-away':
      return { at, kind: 'cache-away', forMs };
  }
}
