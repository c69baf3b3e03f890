import type { Destination, LaneDriver, PublishDriver } from '../driver.ts';
import { DestinationPublisher, type Sender, type SendSettings } from './destination-publisher.ts';
import { DestinationTrouble } from './destination-trouble.ts';

/** What publishing needs besides the messages. */
export type PublishSettings<Encoded> = SendSettings<Encoded> & { readonly driver: PublishDriver<Encoded> };

/**
 * Everything that goes to one destination, each of its lanes by itself. Messages wait together until the driver knows the lanes.
 * Invariant: no message goes to a lane before those that were published before it.
 */
export class Lanes<Encoded> {
  readonly #destination: Destination;
  readonly #settings: PublishSettings<Encoded>;
  readonly #lanes: LaneDriver<Encoded> | undefined;
  readonly #trouble: DestinationTrouble;
  readonly #publishers = new Map<number, DestinationPublisher<Encoded>>();
  /** Messages whose lane is not known yet. */
  #entrance: DestinationPublisher<Encoded> | undefined;

  constructor(destination: Destination, settings: PublishSettings<Encoded>) {
    this.#destination = destination;
    this.#settings = settings;
    this.#lanes = settings.driver.lanes;
    this.#trouble = new DestinationTrouble(destination, settings.troubles);
  }

  /** Whether it has nothing to do and may be forgotten. */
  get isIdle(): boolean {
    if (this.#entrance?.isIdle === false) return false;
    for (const publisher of this.#publishers.values()) if (!publisher.isIdle) return false;
    return true;
  }

  /** Takes one message of a call. Its answer goes to the call. */
  add(call: Sender, id: string, encoded: Encoded, delayMs: number): void {
    if (this.#lanes === undefined) {
      this.#publisherOf(undefined).add(call, id, encoded, delayMs);
      return;
    }
    const isOpen = this.#entrance?.isIdle ?? true;
    if (isOpen && this.#lanes.isKnown(this.#destination)) {
      this.#enter(this.#lanes, call, id, encoded, delayMs);
      return;
    }
    this.#entrance ??= this.#newEntrance(this.#lanes);
    const { deadline } = call;
    const confirm = (): void => this.#enter(this.#lanes as LaneDriver<Encoded>, call, id, encoded, delayMs);
    const fail = (messageId: string, error: unknown): void => call.fail(messageId, error);
    this.#entrance.add({ deadline, deadlineFrom: () => deadline, confirm, fail }, id, encoded, delayMs);
  }

  #enter(lanes: LaneDriver<Encoded>, call: Sender, id: string, encoded: Encoded, delayMs: number): void {
    this.#publisherOf(lanes.laneOf(this.#destination, encoded)).add(call, id, encoded, delayMs);
  }

  /** Its batches are confirmed when the lanes are known, and go on to them. */
  #newEntrance(lanes: LaneDriver<Encoded>): DestinationPublisher<Encoded> {
    const driver = {
      limitsOf: () => ({ maxMessages: Number.POSITIVE_INFINITY, maxBytes: Number.POSITIVE_INFINITY }),
      bytesOf: () => 0,
      send: async (destination: Destination) => {
        if (!lanes.isKnown(destination)) await lanes.find(destination);
        return undefined;
      },
    };
    return new DestinationPublisher(this.#destination, { ...this.#settings, driver }, this.#trouble);
  }

  #publisherOf(lane: number | undefined): DestinationPublisher<Encoded> {
    const place = lane ?? 0;
    let publisher = this.#publishers.get(place);
    if (publisher === undefined) {
      const destination = lane === undefined ? this.#destination : { ...this.#destination, lane };
      publisher = new DestinationPublisher(destination, this.#settings, this.#trouble);
      this.#publishers.set(place, publisher);
    }
    return publisher;
  }
}
