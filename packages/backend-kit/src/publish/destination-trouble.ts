import type { Destination } from '../driver.ts';
import type { Troubles } from '../health/troubles.ts';

/** A destination in trouble that nobody publishes to any more is of interest for so long, in ms. */
const forgottenAfterMs = 60_000;

/** The trouble of publishing to one destination: it is over when each of its lanes works again. */
export class DestinationTrouble {
  readonly #troubles: Troubles;
  readonly #subject: string;
  readonly #inTrouble = new Set<object>();

  constructor({ kind, name }: Destination, troubles: Troubles) {
    this.#troubles = troubles;
    this.#subject = `publishing to ${kind} "${name}"`;
  }

  begin(lane: object, reason: string): void {
    this.#inTrouble.add(lane);
    this.#troubles.begin(this.#subject, reason);
  }

  /** The lane works. */
  end(lane: object): void {
    this.#inTrouble.delete(lane);
    if (this.#inTrouble.size === 0) this.#troubles.end(this.#subject);
  }

  /** Nothing is left to be sent in the lane, so that nothing would tell that it works again. */
  rest(lane: object): void {
    this.#inTrouble.delete(lane);
    if (this.#inTrouble.size === 0) this.#troubles.rest(this.#subject, forgottenAfterMs);
  }
}
