import type { ConsumeTrace, HealthStatus } from '@melange/core';
import { hasFailed, type TraceHandlers } from './channels.ts';
import type { Labels } from './message-metrics.ts';
import { MetricAttribute as Attribute, systemOf } from './names.ts';
import type { QueueDepths } from './queue-depths.ts';

/** A state as the metric of health writes it. */
export const healthValue: Readonly<Record<HealthStatus, number>> = { healthy: 0, degraded: 1, unhealthy: 2 };

/** A value of a gauge. */
export type Observed = readonly [value: number, labels: Labels];

interface EndedQueue {
  readonly labels: Labels;
  readonly health: number;
}

/** What is measured of the queues that this process consumes, when somebody asks. */
export class ConsumedQueues {
  readonly #loops = new Set<ConsumeTrace>();
  /** Queues that are consumed no more: a reader repeats the last value of a gauge until it gets another. */
  readonly #ended = new Map<string, EndedQueue>();
  readonly #depths: QueueDepths;
  readonly #onBegin: (system: string, queue: string) => void;

  /** @param onBegin called when the consumption of a queue begins. */
  constructor(depths: QueueDepths, onBegin: (system: string, queue: string) => void) {
    this.#depths = depths;
    this.#onBegin = onBegin;
  }

  /** Of the channel `melange.consume`. */
  readonly consume: TraceHandlers<ConsumeTrace> = {
    start: (trace) => {
      this.#loops.add(trace);
      this.#ended.delete(keyOf(trace));
      this.#onBegin(systemOf(trace.backend.name), trace.queue);
    },
    end: (trace) => {
      this.#loops.delete(trace);
      const isConsumed = [...this.#loops].some((loop) => keyOf(loop) === keyOf(trace));
      if (isConsumed) return;
      const health = hasFailed(trace) ? healthValue.unhealthy : healthValue.healthy;
      this.#ended.set(keyOf(trace), { labels: labelsOf(trace), health });
    },
  };

  /** Messages that this process received and did not settle, by queue. */
  inFlight(): readonly Observed[] {
    const consumed = this.#byQueue().map(([labels, loops]): Observed => {
      const inFlight = loops.reduce((sum, loop) => sum + loop.inFlight(), 0);
      return [inFlight, labels];
    });
    return [...consumed, ...[...this.#ended.values()].map(({ labels }): Observed => [0, labels])];
  }

  /** The worst of what consumes each queue. */
  async health(): Promise<readonly Observed[]> {
    const consumed = this.#byQueue().map(async ([labels, loops]): Promise<Observed> => {
      const states = await Promise.all(
        loops.map(({ dispatcher }) => dispatcher.health().catch(() => ({ status: 'unhealthy' as const }))),
      );
      return [Math.max(...states.map(({ status }) => healthValue[status])), labels];
    });
    const ended = [...this.#ended.values()].map(({ labels, health }): Observed => [health, labels]);
    return [...(await Promise.all(consumed)), ...ended];
  }

  /** Messages that wait in each queue, where the broker could be asked. */
  async depth(): Promise<readonly Observed[]> {
    const asked = this.#byQueue().map(async ([labels, [loop]]): Promise<readonly Observed[]> => {
      const description = loop && (await this.#depths.describe(loop.backend, loop.queue));
      return description === undefined ? [] : [[description.depth, labels]];
    });
    return (await Promise.all(asked)).flat();
  }

  /** Several loops of one queue are one queue. */
  #byQueue(): [Labels, ConsumeTrace[]][] {
    const queues = new Map<string, [Labels, ConsumeTrace[]]>();
    for (const loop of this.#loops) {
      const known = queues.get(keyOf(loop));
      if (known === undefined) queues.set(keyOf(loop), [labelsOf(loop), [loop]]);
      else known[1].push(loop);
    }
    return [...queues.values()];
  }
}

function labelsOf({ backend, queue }: ConsumeTrace): Labels {
  return { [Attribute.system]: systemOf(backend.name), [Attribute.destination]: queue };
}

function keyOf({ backend, queue }: ConsumeTrace): string {
  return `${systemOf(backend.name)} ${queue}`;
}
