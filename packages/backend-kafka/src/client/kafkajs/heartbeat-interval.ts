/**
 * The interval of heartbeats, by a clock that never steps. kafkajs adds it to the wall time of the last heartbeat, and would send none for
 * an hour when the time of the machine is set back by an hour. As a number this is before or after every time: a heartbeat is due, or it
 * is not.
 */
export class HeartbeatInterval {
  readonly #intervalMs: number;
  #sentAt = Number.NEGATIVE_INFINITY;

  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs;
  }

  /** A heartbeat was answered. */
  sent(): void {
    this.#sentAt = performance.now();
  }

  valueOf(): number {
    const isDue = performance.now() - this.#sentAt >= this.#intervalMs;
    return isDue ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  }
}
