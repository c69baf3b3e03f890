import type { RetryCause } from '../contract/backend.ts';
import type { Clock } from '../contract/clock.ts';
import type { Lane } from './lanes.ts';
import type { Work } from './work.ts';

/** A message that waits for its retry. */
export interface Wait {
  /** When it ends, by the monotonic clock. */
  readonly until: number;
  readonly because: RetryCause;
}

/** Lanes whose first message waits for its retry in its place, while the messages behind it wait for it. */
export class LaneWaits {
  readonly #clock: Clock;
  readonly #onOver: (lane: Lane<Work>) => void;
  readonly #waits = new Map<Lane<Work>, Wait & { readonly cancel: () => void }>();

  /** @param onOver called with a lane when its wait is over; not when it was ended by `end` or `endAll`. */
  constructor(clock: Clock, onOver: (lane: Lane<Work>) => void) {
    this.#clock = clock;
    this.#onOver = onOver;
  }

  /** The first message of the lane waits for so many ms. */
  begin(lane: Lane<Work>, delayMs: number, because: RetryCause): void {
    const until = this.#clock.monotonicNow() + delayMs;
    const cancel = this.#clock.schedule(() => {
      this.#waits.delete(lane);
      this.#onOver(lane);
    }, delayMs);
    this.#waits.set(lane, { until, because, cancel });
  }

  /** When the wait of the lane is over, by the monotonic clock; `undefined` when it does not wait. */
  until(lane: Lane<Work>): number | undefined {
    return this.#waits.get(lane)?.until;
  }

  /** Ends the wait of the lane, if it waits. */
  end(lane: Lane<Work>): Wait | undefined {
    const wait = this.#waits.get(lane);
    wait?.cancel();
    this.#waits.delete(lane);
    return wait;
  }

  /** Ends every wait. */
  endAll(): void {
    for (const lane of [...this.#waits.keys()]) this.end(lane);
  }
}
