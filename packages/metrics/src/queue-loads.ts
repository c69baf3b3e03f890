import { QueueDepths, type QueueDepthsOptions } from './queue-depths.ts';
import { type MetricsSource, queuesOf } from './source.ts';

/** How much work a queue has. */
export interface QueueLoad {
  /** Messages that wait, as the broker was last asked. */
  readonly waiting: number;
  /** Messages that are being processed: by all processes where the broker tells, else by this one. */
  readonly inFlight: number;
  /** Both together: what an autoscaler should look at, for workers that still work are none to stop. */
  readonly total: number;
}

const everySource = new WeakMap<MetricsSource, QueueDepths>();

/**
 * How much work each queue of a dispatcher or service has, for autoscalers. A queue whose broker cannot be asked has only
 * what this process holds. With a lease, only the process that holds it asks.
 *
 * @param options of the first call for this source; a later one's count for nothing.
 */
export async function queueLoads(
  source: MetricsSource,
  options: QueueDepthsOptions = {},
): Promise<Readonly<Record<string, QueueLoad>>> {
  const depths = everySource.get(source) ?? new QueueDepths(options);
  everySource.set(source, depths);
  const each = (await queuesOf(source)).map(async ({ backend, queue, inFlight: own }) => {
    const description = await depths.describe(backend, queue);
    const waiting = description?.depth ?? 0;
    // The broker's number may be older than what this process holds now.
    const inFlight = Math.max(own, description?.inFlight ?? 0);
    return [queue, { waiting, inFlight, total: waiting + inFlight }] as const;
  });
  return Object.fromEntries(await Promise.all(each));
}
