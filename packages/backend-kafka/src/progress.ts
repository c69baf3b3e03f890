import type { Health } from '@melange/core';
import type { KafkaSettings } from './kafka-options.ts';

/** What does not work for longer than this needs attention, in ms. */
const failingTooLongMs = 30_000;

/** A commit may fail for a moment, as in a rebalance, in ms. */
const commitMayFailForMs = 5_000;
/** How long a loss shows, in ms. */
const lossShowsForMs = 600_000;

/** Signs of life and of work of one queue's consumer. */
export class Progress {
  readonly #queue: string;
  readonly #settings: KafkaSettings;
  #aliveAt = performance.now();
  #progressAt = performance.now();
  #failedBecause: string | undefined;
  #failingSince = 0;
  #copyFailedBecause: string | undefined;
  #copyFailingSince = 0;
  #commitFailedBecause: string | undefined;
  #commitFailingSince = 0;
  #lost: { readonly what: string; readonly at: number } | undefined;

  constructor(queue: string, settings: KafkaSettings) {
    this.#queue = queue;
    this.#settings = settings;
  }

  /** Since the last sign of life, in ms. */
  get silentMs(): number {
    return performance.now() - this.#aliveAt;
  }

  isAlive(): void {
    this.#aliveAt = performance.now();
  }

  /** A message was finished, or the first one came after a time of nothing to do. */
  made(): void {
    this.#progressAt = performance.now();
  }

  /** Whether it is the first failure since it worked. */
  failed(reason: string): boolean {
    const isFirst = this.#failedBecause === undefined;
    if (isFirst) this.#failingSince = performance.now();
    this.#failedBecause = reason;
    return isFirst;
  }

  /** Whether it had failed. */
  recovered(): boolean {
    const hadFailed = this.#failedBecause !== undefined;
    this.#failedBecause = undefined;
    return hadFailed;
  }

  copyFailed(error: unknown): void {
    if (this.#copyFailedBecause === undefined) this.#copyFailingSince = performance.now();
    this.#copyFailedBecause = error instanceof Error ? error.message : String(error);
  }

  copySucceeded(): void {
    this.#copyFailedBecause = undefined;
  }

  /** Whether it is the first failure after a success. */
  commitFailed(error: unknown): boolean {
    const isFirst = this.#commitFailedBecause === undefined;
    if (isFirst) this.#commitFailingSince = performance.now();
    this.#commitFailedBecause = error instanceof Error ? error.message : String(error);
    return isFirst;
  }

  committed(): void {
    this.#commitFailedBecause = undefined;
  }

  /** The broker deleted what was not consumed. */
  lost(what: string): void {
    this.#lost = { what, at: performance.now() };
  }

  health(lag: number): Health {
    const { sessionTimeoutMs, heartbeatIntervalMs, stalledAfterMs } = this.#settings;
    const queue = `queue "${this.#queue}"`;
    if (this.#failedBecause !== undefined) {
      const status = statusSince(this.#failingSince);
      return { status, detail: `${queue}: not receiving: ${this.#failedBecause}` };
    }
    const { silentMs } = this;
    if (silentMs > sessionTimeoutMs)
      return { status: 'unhealthy', detail: `${queue}: no answer of Kafka for ${seconds(silentMs)} s` };
    if (silentMs > heartbeatIntervalMs * 2 + 1_000)
      return { status: 'degraded', detail: `${queue}: no answer of Kafka for ${seconds(silentMs)} s` };
    if (this.#copyFailedBecause !== undefined)
      return {
        status: statusSince(this.#copyFailingSince),
        detail: `${queue}: a copy was not confirmed: ${this.#copyFailedBecause}`,
      };
    if (
      this.#commitFailedBecause !== undefined &&
      performance.now() - this.#commitFailingSince > commitMayFailForMs
    )
      return {
        status: statusSince(this.#commitFailingSince),
        detail: `${queue}: offsets not committed: ${this.#commitFailedBecause}`,
      };
    if (this.#lost !== undefined && performance.now() - this.#lost.at < lossShowsForMs)
      return { status: 'degraded', detail: `${queue}: deleted before it was consumed: ${this.#lost.what}` };
    if (lag === 0) this.made();
    const idleMs = performance.now() - this.#progressAt;
    if (idleMs > stalledAfterMs)
      return {
        status: statusSince(this.#progressAt + stalledAfterMs),
        detail: `${queue}: no message finished for ${seconds(idleMs)} s with a lag of ${lag}`,
      };
    return { status: 'healthy' };
  }
}

/** Of a trouble that began at that time of `performance.now()`. */
function statusSince(since: number): 'degraded' | 'unhealthy' {
  return performance.now() - since > failingTooLongMs ? 'unhealthy' : 'degraded';
}

function seconds(milliseconds: number): number {
  return Math.round(milliseconds / 1_000);
}
