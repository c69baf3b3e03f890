import type { DeduplicationCache, MessagingBackend, QueueDescription } from '@melange/core';

/** How queues are asked for what waits in them. */
export interface QueueDepthsOptions {
  /** Each queue is described at most once in this time, in ms. Infinity: never. Default: 30,000. */
  readonly depthIntervalMs?: number;
  /**
   * Lets one process of a fleet ask at a time: who takes the lease of a queue there asks the broker, for as long as
   * `depthIntervalMs`. A cache of `@melange/dedup-redis`, for example. Where it cannot be reached, each process asks. Default:
   * none, so that every process asks.
   */
  readonly depthLease?: DeduplicationCache;
}

interface Asked {
  readonly at: number;
  readonly answer: Promise<QueueDescription | undefined>;
}

/** So long a reader of metrics waits for a broker, in ms: they are wanted most when it is in trouble. */
const maxWaitMs = 1_000;

/** Describes queues, at most once in an interval, and by one process if a lease says so. */
export class QueueDepths {
  readonly #asked = new WeakMap<MessagingBackend, Map<string, Asked>>();
  readonly #intervalMs: number;
  readonly #lease: DeduplicationCache | undefined;

  constructor({ depthIntervalMs = 30_000, depthLease }: QueueDepthsOptions = {}) {
    this.#intervalMs = depthIntervalMs;
    this.#lease = depthLease;
  }

  /** `undefined` where there is no such queue, the broker is in trouble or does not answer within 1 s, and where another process asks. */
  describe(backend: MessagingBackend, queue: string): Promise<QueueDescription | undefined> {
    if (this.#intervalMs === Number.POSITIVE_INFINITY) return Promise.resolve(undefined);
    const asked = this.#asked.get(backend) ?? new Map<string, Asked>();
    this.#asked.set(backend, asked);
    const last = asked.get(queue);
    if (last !== undefined && performance.now() - last.at < this.#intervalMs) return inTime(last.answer);
    const answer = this.#ask(backend, queue);
    asked.set(queue, { at: performance.now(), answer });
    return inTime(answer);
  }

  async #ask(backend: MessagingBackend, queue: string): Promise<QueueDescription | undefined> {
    if (!(await this.#isOurs(backend, queue))) return undefined;
    try {
      const description = await backend.describeQueue(queue);
      return description.exists ? description : undefined;
    } catch {
      // A broker in trouble has no depth to tell; its health says so.
      return undefined;
    }
  }

  async #isOurs({ name }: MessagingBackend, queue: string): Promise<boolean> {
    if (this.#lease === undefined) return true;
    try {
      const key = `melange-queue-depth:${name}:${queue}`;
      return (await this.#lease.claim(key, { leaseMs: this.#intervalMs })).status === 'claimed';
    } catch {
      return true;
    }
  }
}

/** The answer, or `undefined` when it takes too long; it may come in time for the next reader. */
function inTime(answer: Promise<QueueDescription | undefined>): Promise<QueueDescription | undefined> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(undefined), maxWaitMs);
    void answer.then((description) => {
      clearTimeout(timer);
      resolve(description);
    });
  });
}
