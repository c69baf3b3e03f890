import type { Health, LoopHealth, MessagingBackend } from '@melange/core';

/** A `MessageDispatcher`, as far as it is measured. */
export interface MeasuredDispatcher {
  /** Where it consumes from. */
  readonly backend: MessagingBackend;
  /** How it is, with the queues that it consumes. */
  health(): Promise<Health & { readonly loops: readonly LoopHealth[] }>;
}

/** A service of `@melange/service`, as far as it is measured. */
export interface MeasuredService {
  /** Name of the service. */
  readonly name: string;
  /** What consumes each of its queues. */
  readonly dispatchers: Readonly<Record<string, MeasuredDispatcher>>;
  /** Its backends by name. */
  readonly backends: Readonly<Record<string, MessagingBackend>>;
  /** What it publishes to. */
  readonly plan: {
    readonly topics: readonly { readonly name: string }[];
    readonly sends: readonly { readonly name: string }[];
  };
  /** How it is, in whole and in parts. */
  health(): Promise<
    Health & {
      readonly queues: Readonly<Record<string, Health>>;
      readonly backends: Readonly<Record<string, Health>>;
    }
  >;
}

/** What is measured: a dispatcher, or a service with all of its queues. */
export type MetricsSource = MeasuredDispatcher | MeasuredService;

/** A queue of a source, as of now. */
export interface MeasuredQueue {
  readonly dispatcher: MeasuredDispatcher;
  readonly backend: MessagingBackend;
  readonly queue: string;
  /** Received by this process and not settled. */
  readonly inFlight: number;
  readonly health: Health;
}

/** Whether it is a service. */
export function isService(source: MetricsSource): source is MeasuredService {
  return 'dispatchers' in source;
}

/** The queues that a source consumes. */
export async function queuesOf(source: MetricsSource): Promise<readonly MeasuredQueue[]> {
  if (!isService(source)) return queuesOfDispatcher(source);
  const { queues } = await source.health();
  const each = Object.entries(source.dispatchers).map(async ([queue, dispatcher]): Promise<MeasuredQueue> => {
    const { loops } = await dispatcher.health();
    const inFlight = loops.reduce((sum, loop) => sum + loop.inFlight, 0);
    return {
      dispatcher,
      backend: dispatcher.backend,
      queue,
      inFlight,
      health: queues[queue] ?? { status: 'unhealthy' },
    };
  });
  return Promise.all(each);
}

/** Several loops of one queue are one queue. */
async function queuesOfDispatcher(dispatcher: MeasuredDispatcher): Promise<readonly MeasuredQueue[]> {
  const health = await dispatcher.health();
  const { backend } = dispatcher;
  const byQueue = new Map<string, MeasuredQueue>();
  for (const { queue, inFlight } of health.loops) {
    const known = byQueue.get(queue)?.inFlight ?? 0;
    byQueue.set(queue, { dispatcher, backend, queue, inFlight: known + inFlight, health });
  }
  return [...byQueue.values()];
}
