import type { RetryCause } from '../contract/backend.ts';
import type { Clock } from '../contract/clock.ts';
import type { LaneWaits } from './lane-waits.ts';
import type { Lane, Lanes } from './lanes.ts';
import { ParkedKey, type Place } from './parked-key.ts';
import type { Work } from './work.ts';

/** What `Parking` needs from the scheduler. */
export interface ParkingSettings {
  readonly clock: Clock;
  readonly lanes: Lanes<Work>;
  /** Retries of first messages that wait in their lanes. */
  readonly waits: LaneWaits;
  /** Whether handlers are idle although no more deliveries may be received. */
  readonly isStarved: () => boolean;
  /** Whether no further delivery is received until one leaves. */
  readonly isFull: () => boolean;
  /** Starts the messages that may run. */
  readonly pump: () => void;
  /** Called when a delivery has left this process. */
  readonly onLeft: (work: Work) => void;
  readonly report: (error: unknown, work: Work) => void;
}

/** A key is parked whose first message has waited, or will wait, for so many ms. */
const standsAfterMs = 500;

/** While a key is parked, or handlers are idle, keys are looked at again after so many ms. */
const lookAgainMs = 250;

/** Delays of parked messages, in ms. Few, as some brokers keep a queue for each delay. */
const delaysMs: readonly number[] = [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000];

/** For messages behind a running handler the delay doubles with each round, up to the one of this index. */
const lastIndexBehindHandler = 4;

/**
 * Keeps the messages of a key that stands still from using up `maxInFlight`. When handlers are idle because all
 * deliveries in this process wait for such keys, these are sent back to the broker with a delay, without being run
 * ("parked"), and their order is remembered. Messages of a parked key run in that order, in whatever order they arrive.
 */
export class Parking {
  readonly #settings: ParkingSettings;
  readonly #keys = new Map<string, ParkedKey>();
  /** Since when a key has had the same message in front, by the monotonic clock. */
  readonly #seen = new Map<string, { readonly first: Work | undefined; readonly at: number }>();
  #cancelLook: (() => void) | undefined;

  constructor(settings: ParkingSettings) {
    this.#settings = settings;
  }

  /** Messages of parked keys, in this process and at the broker. */
  get size(): number {
    let size = 0;
    for (const parked of this.#keys.values()) size += parked.size;
    return size;
  }

  /** Puts a delivery into its lane, or, where its key is parked, into its place in the order of the key. */
  enter(work: Work, key: string | undefined): void {
    const { lanes, clock } = this.#settings;
    const parked = key === undefined ? undefined : this.#keys.get(key);
    if (key === undefined || parked === undefined) {
      lanes.enter(work, key);
      return;
    }
    if (lanes.enterBehindSame(key, work, (older) => isSame(older, work))) return;
    const older = parked.arrive(work, clock.monotonicNow());
    if (older !== undefined) this.#settings.onLeft(older);
    this.#moveUp(key, parked);
  }

  /** Called when no message in this process may run: parks keys that stand still, if handlers are idle because of them. */
  relieve(): void {
    if (!this.#settings.isStarved()) return;
    const { lanes, clock } = this.#settings;
    const now = clock.monotonicNow();
    for (const lane of lanes.withKeys()) {
      const standsUntil = this.#settings.waits.until(lane) ?? now;
      if (standsUntil - this.#seenSince(lane.key, lane.first, now) >= standsAfterMs)
        this.#parkLane(lane, now);
    }
    for (const [key, parked] of this.#keys) {
      const { firstDueAt } = parked;
      if (firstDueAt === undefined || lanes.has(key)) continue;
      if (Math.max(firstDueAt, now) - this.#seenSince(key, undefined, now) >= standsAfterMs)
        void this.#parkAtHand(parked, firstDueAt, now);
    }
    this.#lookAgain();
  }

  /**
   * Sends the messages that may not stay back to the broker, without running them, together with all messages behind them
   * of the same key. Must not be called while a lane is ready. Resolves when the broker has them.
   */
  async sendBack(mayStay: (work: Work) => boolean): Promise<void> {
    const sent: Promise<void>[] = [];
    for (const lane of [...this.#settings.lanes.withKeys()])
      if (!everyOf(lane, mayStay)) sent.push(this.sendLaneBack(lane, mayStay));
    for (const [key, parked] of this.#keys) {
      if (this.#settings.lanes.has(key) || [...parked].every(mayStay)) continue;
      sent.push(this.#parkAtHand(parked, undefined, this.#settings.clock.monotonicNow()));
    }
    await Promise.all(sent);
  }

  /** Sends the messages of a lane that is not ready back to the broker, except for a first one that may stay. */
  sendLaneBack(lane: Lane<Work> & { readonly key: string }, mayStay: (work: Work) => boolean): Promise<void> {
    const { lanes, clock } = this.#settings;
    const now = clock.monotonicNow();
    const parked = this.#keys.get(lane.key) ?? new ParkedKey();
    this.#keys.set(lane.key, parked);
    parked.putFirst(mayStay(lane.first as Work) ? lanes.takeFollowers(lane) : lanes.takeAll(lane), now);
    this.#lookAgain();
    return this.#parkAtHand(parked, undefined, now);
  }

  /** Deliveries in this process that are in no lane. */
  *atHand(): IterableIterator<Work> {
    for (const parked of this.#keys.values()) yield* parked;
  }

  /** Nothing is parked from now on. */
  stop(): void {
    this.#cancelLook?.();
    this.#cancelLook = undefined;
  }

  #seenSince(key: string, first: Work | undefined, now: number): number {
    const seen = this.#seen.get(key);
    if (seen !== undefined && seen.first === first) return seen.at;
    this.#seen.set(key, { first, at: now });
    return now;
  }

  #moveUp(key: string, parked: ParkedKey): void {
    for (let work = parked.moveUp(); work !== undefined; work = parked.moveUp())
      this.#settings.lanes.enter(work, key);
    if (parked.size === 0) this.#keys.delete(key);
  }

  #parkLane(lane: Lane<Work> & { readonly key: string }, now: number): void {
    const { lanes, waits } = this.#settings;
    const wait = waits.end(lane);
    const works = wait === undefined ? lanes.takeFollowers(lane) : lanes.takeAll(lane);
    if (works.length === 0 && !this.#keys.has(lane.key)) return;
    const parked = this.#keys.get(lane.key) ?? new ParkedKey();
    this.#keys.set(lane.key, parked);
    parked.putFirst(works, now);
    void this.#parkAtHand(parked, wait?.until, now, wait?.because);
  }

  /**
   * @param until when the message in front is due, by the monotonic clock; `undefined` when its handler runs.
   * @param headBecause why the message in front is retried, where it is among those that are parked.
   */
  async #parkAtHand(
    parked: ParkedKey,
    until: number | undefined,
    now: number,
    headBecause?: RetryCause,
  ): Promise<void> {
    const least = until === undefined ? 0 : until - now;
    const round = until === undefined ? Math.min(parked.rounds, lastIndexBehindHandler) : 0;
    parked.rounds += 1;
    const delayMs = delaysMs.find((delay, index) => index >= round && delay >= least) ?? delaysMs.at(-1) ?? 0;
    // In one turn of the event loop, so that they mostly arrive in order; `ParkedKey` restores the order of the others.
    const sent: Promise<void>[] = [];
    for (const [index, place] of parked.takeAtHand().entries()) {
      if (index === 0 && headBecause !== undefined)
        sent.push(this.#send(place, Math.max(0, least), headBecause, now));
      else sent.push(this.#send(place, delayMs, 'not-run', now));
    }
    await Promise.all(sent);
  }

  async #send(place: Place, delayMs: number, because: RetryCause, now: number): Promise<void> {
    const { work } = place;
    if (work === undefined) return;
    const { onLeft, report } = this.#settings;
    place.work = undefined;
    place.dueAt = now + delayMs;
    place.attempt = work.attempt;
    await work.delivery
      .retry({ delayMs, because })
      .catch((error: unknown) => report(error, work))
      .finally(() => onLeft(work));
  }

  #lookAgain(): void {
    this.#cancelLook ??= this.#settings.clock.schedule(() => {
      this.#cancelLook = undefined;
      const now = this.#settings.clock.monotonicNow();
      const isFull = this.#settings.isFull();
      for (const [key, parked] of this.#keys) {
        parked.forgetGone(now, isFull);
        this.#moveUp(key, parked);
      }
      this.#settings.pump();
      if (this.#keys.size > 0) this.#lookAgain();
      else if (this.#cancelLook === undefined) this.#seen.clear();
    }, lookAgainMs);
  }
}

/** Whether `work` is a new delivery of the message of `older`, which was lost to a reconnect. */
function isSame(older: Work, work: Work): boolean {
  return older.delivery.message.id === work.delivery.message.id && older.isLost;
}

function everyOf(lane: Lane<Work>, mayStay: (work: Work) => boolean): boolean {
  for (let work = lane.first; work !== undefined; work = work.next) if (!mayStay(work)) return false;
  return true;
}
