import type { Health } from '@melange/core';
import type { KafkaSettings } from './kafka-options.ts';

/** Joining for longer than this needs attention, in ms. */
const failingTooLongMs = 30_000;

/** A commit may fail for a moment, as in a rebalance, in ms. */
const commitMayFailForMs = 5_000;
/** How long a loss shows, in ms. */
const lossShowsForMs = 600_000;

/** Signs of life and of work of one queue's consumer. */
export class Progress {
  readonly #queue: string;
  readonly #settings: KafkaSettings;
  #aliveAt = Date.now();
  #progressAt = Date.now();
  #failedBecause: string | undefined;
  #failingSince = 0;
  #copyFailedBecause: string | undefined;
  #commitFailedBecause: string | undefined;
  #commitFailingSince = 0;
  #lost: { readonly what: string; readonly at: number } | undefined;

  constructor(queue: string, settings: KafkaSettings) {
    this.#queue = queue;
    this.#settings = settings;
  }

  /** Since the last sign of life, in ms. */
  get silentMs(): number {
    return Date.now() - this.#aliveAt;
  }

  isAlive(): void {
    this.#aliveAt = Date.now();
  }

  /** A message was finished, or the first one came after a time of nothing to do. */
  made(): void {
    this.#progressAt = Date.now();
  }

  failed(reason: string): void {
    if (this.#failedBecause === undefined) this.#failingSince = Date.now();
    this.#failedBecause = reason;
  }

  recovered(): void {
    this.#failedBecause = undefined;
  }

  copyFailed(error: unknown): void {
    this.#copyFailedBecause = error instanceof Error ? error.message : String(error);
  }

  copySucceeded(): void {
    this.#copyFailedBecause = undefined;
  }

  /** Whether it is the first failure after a success. */
  commitFailed(error: unknown): boolean {
    const isFirst = this.#commitFailedBecause === undefined;
    if (isFirst) this.#commitFailingSince = Date.now();
    this.#commitFailedBecause = error instanceof Error ? error.message : String(error);
    return isFirst;
  }

  committed(): void {
    this.#commitFailedBecause = undefined;
  }

  /** The broker deleted what was not consumed. */
  lost(what: string): void {
    this.#lost = { what, at: Date.now() };
  }

  health(lag: number): Health {
    const { sessionTimeoutMs, heartbeatIntervalMs, stalledAfterMs } = this.#settings;
    const queue = `queue "${this.#queue}"`;
    if (this.#failedBecause !== undefined) {
      const isLong = Date.now() - this.#failingSince > failingTooLongMs;
      return {
        status: isLong ? 'unhealthy' : 'degraded',
        detail: `${queue}: not receiving: ${this.#failedBecause}`,
      };
    }
    const { silentMs } = this;
    if (silentMs > sessionTimeoutMs)
      return { status: 'unhealthy', detail: `${queue}: no answer of Kafka for ${seconds(silentMs)} s` };
    if (silentMs > heartbeatIntervalMs * 2 + 1_000)
      return { status: 'degraded', detail: `${queue}: no answer of Kafka for ${seconds(silentMs)} s` };
    if (this.#copyFailedBecause !== undefined)
      return { status: 'degraded', detail: `${queue}: a copy was not confirmed: ${this.#copyFailedBecause}` };
    if (this.#commitFailedBecause !== undefined && Date.now() - this.#commitFailingSince > commitMayFailForMs)
      return { status: 'degraded', detail: `${queue}: offsets not committed: ${this.#commitFailedBecause}` };
    if (this.#lost !== undefined && Date.now() - this.#lost.at < lossShowsForMs)
      return { status: 'degraded', detail: `${queue}: deleted before it was consumed: ${this.#lost.what}` };
    if (lag === 0) this.made();
    const idleMs = Date.now() - this.#progressAt;
    if (idleMs > stalledAfterMs)
      return {
        status: 'degraded',
        detail: `${queue}: no message finished for ${seconds(idleMs)} s with a lag of ${lag}`,
      };
    return { status: 'healthy' };
  }
}

function seconds(milliseconds: number): number {
  return Math.round(milliseconds / 1_000);
}
