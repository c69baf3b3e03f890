import type { Delivery, SubscribeOptions, Subscription } from '@melange/core';
import type { Again, Arrival } from './arrival.ts';
import { ArrivalDelivery, type DeliveryContext } from './arrival-delivery.ts';
import type { TimeLimit } from './time-limit.ts';

type Counts = Pick<Again, 'attempt' | 'redeliveries'>;

/**
 * The messages of one event: handed over lane by lane, and remembered as failed until they are known to be done, so that
 * nothing is taken for done by mistake.
 */
export class Invocation implements Subscription, DeliveryContext {
  readonly ended: Promise<void>;
  readonly limit: TimeLimit;
  readonly #receive: (delivery: Delivery) => void;
  readonly #maxInFlight: number;
  readonly #undone: Set<Arrival>;
  /** Those that may be handed over, in their order; with their counts. */
  #waiting: Map<Arrival, Counts>;
  /** With the one that runs, or waits for its retry. */
  readonly #busyLanes = new Map<string, Arrival>();
  /** Those that wait for their retry, with what ends the wait. */
  readonly #retrying = new Map<Arrival, { readonly again: Again; readonly timer: NodeJS.Timeout }>();
  readonly #settling = new Set<Promise<void>>();
  #inFlight = 0;
  #isClosed = false;
  #end: () => void = () => undefined;

  constructor(
    arrivals: readonly Arrival[],
    limit: TimeLimit,
    { maxInFlight }: SubscribeOptions,
    receive: (delivery: Delivery) => void,
  ) {
    this.limit = limit;
    this.#maxInFlight = maxInFlight;
    this.#receive = receive;
    this.#undone = new Set(arrivals);
    this.#waiting = new Map(arrivals.map((arrival) => [arrival, arrival]));
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  /** Those that are not known to be done, in the order of the event. */
  get undone(): readonly Arrival[] {
    return [...this.#undone];
  }

  /** Hands over what may run now. */
  pump(): void {
    for (const [arrival, { attempt, redeliveries }] of this.#waiting) {
      if (this.#isClosed || this.#inFlight >= this.#maxInFlight) return;
      const { lane } = arrival;
      if (lane !== undefined && (this.#busyLanes.get(lane) ?? arrival) !== arrival) continue;
      this.#waiting.delete(arrival);
      if (lane !== undefined) this.#busyLanes.set(lane, arrival);
      this.#inFlight += 1;
      this.#receive(new ArrivalDelivery(arrival, attempt, redeliveries, this));
    }
    if (this.#waiting.size === 0 && this.#retrying.size === 0 && this.#inFlight === 0) this.#end();
  }

  /** Stops handing over. What was not handed over is given back. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#end();
    for (const [arrival, { again, timer }] of this.#retrying) {
      clearTimeout(timer);
      this.#giveBack(arrival, { ...again, delayMs: 0 });
    }
    this.#retrying.clear();
    this.#giveBackUnrun([...this.#waiting.keys()]);
    await this.settled();
  }

  /** Resolves when every request that was begun is answered. */
  async settled(): Promise<void> {
    while (this.#settling.size > 0) await Promise.all(this.#settling);
  }

  /** The message is done; its lane goes on. */
  onDone(arrival: Arrival): void {
    this.#undone.delete(arrival);
    this.#onSettled(arrival);
  }

  /** The message waits here, or is given back. Resolves when the broker knows. */
  async comeAgain(arrival: Arrival, again: Again): Promise<void> {
    if (arrival.retriesHere && !this.#isClosed && this.limit.hasTimeFor(again.delayMs)) {
      this.#inFlight -= 1;
      const timer = setTimeout(() => {
        this.#retrying.delete(arrival);
        // Before those that have not run.
        this.#waiting = new Map([[arrival, again], ...this.#waiting]);
        this.pump();
      }, again.delayMs);
      this.#retrying.set(arrival, { again, timer });
      this.pump();
      return;
    }
    const behind = this.#behind(arrival);
    // The last one first, and the first one last: they become visible in an order in which none can overtake.
    this.#giveBackUnrun(behind, again.delayMs);
    try {
      await this.#giveBack(arrival, again);
    } finally {
      this.#onSettled(arrival);
    }
  }

  /** Its lane goes on, whatever becomes of it. */
  onUnsettled(arrival: Arrival): void {
    this.#onSettled(arrival);
  }

  #onSettled({ lane }: Arrival): void {
    this.#inFlight -= 1;
    if (lane !== undefined) this.#busyLanes.delete(lane);
    this.pump();
  }

  /** Those of its group that wait behind it. */
  #behind({ group }: Arrival): readonly Arrival[] {
    if (group === undefined) return [];
    return [...this.#waiting.keys()].filter((waiting) => waiting.group === group);
  }

  #giveBackUnrun(arrivals: readonly Arrival[], delayMs = 0): void {
    for (const arrival of [...arrivals].reverse()) {
      const { attempt, redeliveries } = this.#waiting.get(arrival) ?? arrival;
      this.#waiting.delete(arrival);
      this.#giveBack(arrival, { delayMs, attempt, redeliveries }).catch(() => undefined);
    }
  }

  #giveBack(arrival: Arrival, again: Again): Promise<void> {
    const given = arrival.giveBack(again);
    const settling = given.catch(() => undefined).finally(() => this.#settling.delete(settling));
    this.#settling.add(settling);
    return given;
  }
}
