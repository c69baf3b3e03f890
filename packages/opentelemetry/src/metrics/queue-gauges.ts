import type { ConsumeTrace } from '@melange/core';
import type { Attributes, ObservableResult } from '@opentelemetry/api';
import { Attribute, systemOf } from '../names.ts';
import { hasFailed, type TraceHandlers } from '../subscribe.ts';
import type { Instruments } from './instruments.ts';

const healthValue = { healthy: 0, degraded: 1, unhealthy: 2 } as const;

interface EndedQueue {
  readonly attributes: Attributes;
  readonly health: number;
}

interface Depth {
  readonly at: number;
  readonly answer: Promise<number | undefined>;
}

/** What is measured of the queues that this process consumes, when an exporter asks. */
export class QueueGauges {
  readonly #loops = new Set<ConsumeTrace>();
  /** Queues that are consumed no more: a reader repeats the last value of a gauge until it gets another. */
  readonly #ended = new Map<string, EndedQueue>();
  readonly #depths = new WeakMap<object, Map<string, Depth>>();
  readonly #instruments: Instruments;
  readonly #depthIntervalMs: number;

  /** @param depthIntervalMs a queue is described at most once in this time, in ms; Infinity: never. */
  constructor(instruments: Instruments, depthIntervalMs: number) {
    this.#instruments = instruments;
    this.#depthIntervalMs = depthIntervalMs;
  }

  /** Of the channel `melange.consume`. */
  readonly consume: TraceHandlers<ConsumeTrace> = {
    start: (trace) => {
      this.#loops.add(trace);
      this.#ended.delete(keyOf(trace));
    },
    end: (trace) => {
      this.#loops.delete(trace);
      const isConsumed = [...this.#loops].some((loop) => keyOf(loop) === keyOf(trace));
      if (isConsumed) return;
      const health = hasFailed(trace) ? healthValue.unhealthy : healthValue.healthy;
      this.#ended.set(keyOf(trace), { attributes: attributesOf(trace), health });
    },
  };

  /** Begins to answer exporters. Answers the function that ends it. */
  observe(): () => void {
    const { inFlight, depth, health } = this.#instruments;
    inFlight.addCallback(this.#observeInFlight);
    health.addCallback(this.#observeHealth);
    if (this.#depthIntervalMs !== Number.POSITIVE_INFINITY) depth.addCallback(this.#observeDepth);
    return () => {
      inFlight.removeCallback(this.#observeInFlight);
      health.removeCallback(this.#observeHealth);
      depth.removeCallback(this.#observeDepth);
    };
  }

  readonly #observeInFlight = (result: ObservableResult): void => {
    for (const [attributes, loops] of this.#byQueue())
      result.observe(
        loops.reduce((sum, loop) => sum + loop.inFlight(), 0),
        attributes,
      );
    for (const { attributes } of this.#ended.values()) result.observe(0, attributes);
  };

  readonly #observeHealth = async (result: ObservableResult): Promise<void> => {
    for (const { attributes, health } of this.#ended.values()) result.observe(health, attributes);
    await Promise.all(
      this.#byQueue().map(async ([attributes, loops]) => {
        const states = await Promise.all(
          loops.map(({ dispatcher }) => dispatcher.health().catch(() => ({ status: 'unhealthy' as const }))),
        );
        result.observe(Math.max(...states.map(({ status }) => healthValue[status])), attributes);
      }),
    );
  };

  readonly #observeDepth = async (result: ObservableResult): Promise<void> => {
    await Promise.all(
      this.#byQueue().map(async ([attributes, [loop]]) => {
        const depth = loop && (await this.#depthOf(loop));
        if (depth !== undefined) result.observe(depth, attributes);
      }),
    );
  };

  /** Several loops of one queue are one queue. */
  #byQueue(): [Attributes, ConsumeTrace[]][] {
    const queues = new Map<string, [Attributes, ConsumeTrace[]]>();
    for (const loop of this.#loops) {
      const known = queues.get(keyOf(loop));
      if (known === undefined) queues.set(keyOf(loop), [attributesOf(loop), [loop]]);
      else known[1].push(loop);
    }
    return [...queues.values()];
  }

  /** A broker in trouble has no depth to tell; its health says so. */
  #depthOf({ backend, queue }: ConsumeTrace): Promise<number | undefined> {
    const depths = this.#depths.get(backend) ?? new Map<string, Depth>();
    this.#depths.set(backend, depths);
    const last = depths.get(queue);
    if (last !== undefined && performance.now() - last.at < this.#depthIntervalMs) return last.answer;
    const answer = backend.describeQueue(queue).then(
      ({ exists, depth }) => (exists ? depth : undefined),
      () => undefined,
    );
    depths.set(queue, { at: performance.now(), answer });
    return answer;
  }
}

function attributesOf({ backend, queue }: ConsumeTrace): Attributes {
  return { [Attribute.system]: systemOf(backend.name), [Attribute.destination]: queue };
}

function keyOf({ backend, queue }: ConsumeTrace): string {
  return `${systemOf(backend.name)} ${queue}`;
}
