import { type LeaseDriver, type Leased, Leases } from '@melange/backend-kit';
import type { Clock } from '@melange/core';
import type { Held } from './held.ts';

/** What a hand needs to know. */
export interface HandSettings {
  readonly clock: Clock;
  readonly leases: LeaseDriver<Held>;
  /** Whether messages may wait for their delays here: not where the subscription ends when the queue is empty. */
  readonly mayPark: boolean;
  /** Makes a message visible after so many ms. Must not reject. */
  giveBack(held: Held, delayMs: number): Promise<void>;
  /** There are messages to be handed over, or less to wait for. */
  onChange(): void;
}

/** A message that is kept here, with its lease. */
interface Kept extends Leased<Held> {
  readonly taken: Held;
  /** End of its delay, of the monotonic clock, in ms. */
  readonly dueAt: number;
  readonly cancel: () => void;
}

/** Most messages that wait for a delay here, those of their groups behind them included; further ones go back to SQS for it. */
const maxParked = 1_000;

/**
 * The messages that one subscription has received: one of each group is handed over at a time, and the others are kept
 * here, leased, as are those that wait for a delay which would count as received once more if they went back to SQS.
 */
export class Hand {
  readonly #settings: HandSettings;
  /** By group: the one that is handed over or comes next, and those that wait behind it. */
  readonly #lanes = new Map<string, Held[]>();
  /** What is not handed over. */
  readonly #kept = new Map<Held, Kept>();
  /** Of them, those that may be handed over, in their order. */
  readonly #ready = new Set<Held>();
  /** Of them, those that wait for a delay, with those of their groups behind them. */
  readonly #parked = new Set<Held>();
  readonly #leases: Leases<Held, Kept>;

  constructor(settings: HandSettings) {
    this.#settings = settings;
    const onLost = ({ taken }: Kept): void => this.lose(taken);
    this.#leases = new Leases({
      driver: settings.leases,
      clock: settings.clock,
      held: () => [...this.#kept.values()],
      onLost,
    });
    this.#leases.start();
  }

  /** How many wait for others of their group, and for no delay. */
  get waiting(): number {
    return this.#kept.size - this.#parked.size;
  }

  /** Whether there is a message of any group, here or handed over. */
  get hasGroups(): boolean {
    return this.#lanes.size > 0;
  }

  /** Of this group: the one that is before all others that are held. */
  headOf(groupId: string): Held | undefined {
    return this.#lanes.get(groupId)?.[0];
  }

  /** As `Leases.givenAfter`. */
  givenAfter(asked: number): number {
    return this.#leases.givenAfter(asked);
  }

  /** Takes in what was received together, in the order of each group. */
  enter(received: readonly Held[]): void {
    for (const held of received) {
      const lane = held.groupId === undefined ? undefined : this.#lanes.get(held.groupId);
      this.#keep(held);
      if (lane === undefined) {
        if (held.groupId !== undefined) this.#lanes.set(held.groupId, [held]);
        this.#ready.add(held);
      } else {
        if (this.#parked.has(lane[0] as Held)) this.#parked.add(held);
        lane.push(held);
      }
    }
    this.#settings.onChange();
  }

  /** Takes out what may be handed over. */
  takeReady(max: number): Held[] {
    const taken: Held[] = [];
    for (const held of this.#ready) {
      if (taken.length >= max) break;
      held.leasedAt = (this.#kept.get(held) as Kept).leaseEndsAt - this.#settings.leases.leaseMs;
      this.#forget(held);
      taken.push(held);
    }
    return taken;
  }

  /** One that was handed over has left the queue: the next one of its group may be handed over. */
  leave(held: Held): void {
    const lane = this.#laneOf(held);
    if (lane === undefined) return;
    lane.shift();
    const [next] = lane;
    if (next === undefined) this.#lanes.delete(held.groupId as string);
    else this.#ready.add(next);
    this.#settings.onChange();
  }

  /** It is not ours any more: it comes again, and so do those of its group behind it. */
  lose(held: Held): void {
    void this.giveBackFollowers(held);
    this.#forget(held);
    const lane = this.#laneOf(held);
    if (lane?.[0] === held) this.#lanes.delete(held.groupId as string);
    else lane?.pop();
    this.#settings.onChange();
  }

  /** Gives back what must not overtake it, the last one first. */
  async giveBackFollowers(held: Held): Promise<void> {
    const lane = this.#laneOf(held);
    const followers = lane?.splice(lane.indexOf(held) + 1) ?? [];
    await this.#giveBack(followers);
  }

  /**
   * Keeps one that was handed over until its delay has passed, where that is better than giving it back.
   *
   * @param next it, as it is to come again.
   * @param isRunAgain whether it failed: a failure that holds up nobody here counts at SQS as it should.
   */
  park(held: Held, next: Held, delayMs: number, isRunAgain: boolean): boolean {
    const lane = this.#laneOf(held);
    const followers = lane?.slice(1) ?? [];
    if (!this.#settings.mayPark || (isRunAgain && followers.length === 0)) return false;
    if (this.#parked.size + followers.length + 1 > maxParked) return false;
    if (lane !== undefined) lane[0] = next;
    for (const one of [next, ...followers]) this.#parked.add(one);
    const cancel = this.#settings.clock.schedule(() => {
      for (const one of [next, ...(this.#laneOf(next)?.slice(1) ?? [])]) this.#parked.delete(one);
      this.#ready.add(next);
      this.#settings.onChange();
    }, delayMs);
    this.#keep(next, this.#settings.clock.monotonicNow() + delayMs, cancel);
    return true;
  }

  /** Gives back all that is not handed over, the last one first, those that wait for a delay for what is left of it. */
  async giveBackKept(): Promise<void> {
    const kept = [...this.#kept.keys()];
    // Those that wait behind others first: else one of them could be received before those.
    const isFollower = (held: Held): boolean =>
      this.#laneOf(held)?.[0] !== held && held.groupId !== undefined;
    await this.#giveBack([...kept.filter((held) => !isFollower(held)), ...kept.filter(isFollower)]);
  }

  /** Leaves no timer. */
  close(): void {
    this.#leases.stop();
  }

  async #giveBack(given: readonly Held[]): Promise<void> {
    const now = this.#settings.clock.monotonicNow();
    const back = [...given].reverse().map((held) => {
      const { dueAt = 0 } = this.#kept.get(held) ?? {};
      this.#forget(held);
      const lane = this.#laneOf(held);
      if (lane !== undefined) lane.splice(lane.indexOf(held), 1);
      if (lane?.length === 0) this.#lanes.delete(held.groupId as string);
      return this.#settings.giveBack(held, Math.max(0, dueAt - now));
    });
    await Promise.all(back);
  }

  #keep(held: Held, dueAt = 0, cancel: () => void = () => undefined): void {
    const leaseEndsAt = held.leasedAt + this.#settings.leases.leaseMs;
    this.#kept.set(held, { taken: held, leaseEndsAt, dueAt, cancel });
  }

  #forget(held: Held): void {
    this.#kept.get(held)?.cancel();
    this.#kept.delete(held);
    this.#ready.delete(held);
    this.#parked.delete(held);
  }

  #laneOf(held: Held): Held[] | undefined {
    const lane = held.groupId === undefined ? undefined : this.#lanes.get(held.groupId);
    return lane?.includes(held) === true ? lane : undefined;
  }
}
