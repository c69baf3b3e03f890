// Not the global one: tests of applications fake it.
import { setImmediate } from 'node:timers';
import type { AbortReason, Delivery, SubscribeOptions, Subscription } from '@melange/core';
import { Slots } from '@melange/core/adapter';
import { pause } from '../connection.ts';
import type { Received, SettleDriver } from '../driver.ts';
import { type Settlements, TakenDelivery } from './delivery.ts';
import { Leases } from './leases.ts';
import { Settler, type SettlerSettings } from './settler.ts';

/** How messages come in: by asking for them, or by being sent them. */
export interface Inflow {
  /** There may be room again. */
  onRoom(): void;
  /** No message more, from this turn on. */
  stop(): void;
  /** Frees the intake at the broker. Called once, when nothing is unsettled. Never rejects. */
  close(): Promise<void>;
}

/** What a throwing receiver was given goes back after so many ms: at once would be a busy loop. */
const pauseAfterThrowMs = 1_000;
/** Giving back at the close is a courtesy: past this many ms the broker takes the messages back by itself. */
const maxFarewellMs = 2_000;

/** An intake that is open at the broker, with the way to settle what it brought. */
export interface OpenIntake<Taken extends Received> {
  readonly settler: Settler<Taken>;
  readonly leases: DeliveryLeases<Taken> | undefined;
}

type DeliveryLeases<Taken extends Received> = Leases<Taken, TakenDelivery<Taken>>;

/**
 * An open intake of one queue. Invariants: at most `maxInFlight` deliveries are handed over and not over; a delivery is over when
 * the broker has answered its settlement, or has it again; nothing is handed over before `start` and after `stop`; `ended` and
 * `close` settle once.
 */
export class KitSubscription<Taken extends Received> implements Subscription {
  readonly ended: Promise<void>;
  readonly queue: string;
  readonly untilEmpty: boolean;
  readonly #settings: SettlerSettings;
  readonly #maxInFlight: number;
  readonly #receive: (delivery: Delivery) => void;
  readonly #held = new Slots<TakenDelivery<Taken>>();
  #inflow: Inflow | undefined;
  #state: 'opening' | 'open' | 'over' = 'opening';
  /** Messages, and news of an empty queue, that came before the subscriber had its subscription. */
  #early: (() => void)[] = [];
  readonly #left: Promise<void>;
  readonly #leases = new Set<DeliveryLeases<Taken>>();
  #resolveLeft: () => void = () => undefined;
  #resolveEnded: () => void = () => undefined;
  #rejectEnded: (error: unknown) => void = () => undefined;

  constructor(settings: SettlerSettings, options: SubscribeOptions, receive: (delivery: Delivery) => void) {
    this.queue = settings.queue;
    this.untilEmpty = options.untilEmpty === true;
    this.#settings = settings;
    this.#maxInFlight = options.maxInFlight;
    this.#receive = receive;
    this.ended = new Promise((resolve, reject) => {
      this.#resolveEnded = resolve;
      this.#rejectEnded = reject;
    });
    this.#left = new Promise((resolve) => {
      this.#resolveLeft = resolve;
    });
    // Nobody has to look at `ended`.
    this.ended.catch(() => undefined);
  }

  /** Resolves when it is closed and nothing is unsettled. */
  get left(): Promise<void> {
    return this.#left;
  }

  /** Bound of what is handed over and not over. */
  get maxInFlight(): number {
    return this.#maxInFlight;
  }

  /** How many messages may be handed over now. */
  get room(): number {
    return this.#state === 'open' ? this.#maxInFlight - this.#held.size : 0;
  }

  /** Messages that are handed over and whose settlement has no answer. */
  get held(): readonly Taken[] {
    return this.#held.all().map(({ taken }) => taken);
  }

  get isOver(): boolean {
    return this.#state === 'over';
  }

  /** From now on messages are handed over, but not in this turn: the subscriber is to have its subscription first. */
  start(inflow: Inflow): void {
    this.#inflow = inflow;
    // A turn is no time: it passes in a test that lets no time pass.
    setImmediate(() => {
      if (this.#state !== 'opening') return;
      this.#state = 'open';
      for (const deliver of this.#early.splice(0)) deliver();
      inflow.onRoom();
    });
  }

  /** What settles the messages of an intake that the driver opened. */
  opened(driver: SettleDriver<Taken>): OpenIntake<Taken> {
    const settler = new Settler(
      this.#settings,
      driver,
      (delivery) => this.#over(delivery),
      () => this.#held.size,
    );
    const leaseDriver = driver.leases;
    if (leaseDriver === undefined) return { settler, leases: undefined };
    const leases: DeliveryLeases<Taken> = new Leases({
      driver: leaseDriver,
      clock: this.#settings.clock,
      held: () => this.#held.all(),
      onLost: (delivery, why) => {
        this.#lose(delivery, 'lease-lost', why);
        leaseDriver.lost?.(delivery.taken);
      },
    });
    leases.start();
    this.#leases.add(leases);
    return { settler, leases };
  }

  /**
   * Hands a message over, or gives it back when intake is over.
   *
   * @param leaseEndsAt by the monotonic clock; nothing where the broker does not lease.
   */
  deliver(taken: Taken, { settler }: OpenIntake<Taken>, leaseEndsAt: number | undefined): void {
    if (this.#state === 'opening') {
      this.#early.push(() => this.deliver(taken, { settler, leases: undefined }, leaseEndsAt));
      return;
    }
    if (this.#state === 'over') {
      void settler.giveBack([taken]);
      return;
    }
    const delivery = new TakenDelivery(taken, settler, leaseEndsAt);
    this.#held.add(delivery);
    try {
      this.#receive(delivery);
    } catch (error) {
      void this.#onThrown(delivery, error);
    }
  }

  /** What an intake brought is the broker's again: the connection that it hung on is gone. */
  loseAll(settler: Settler<Taken>, why: string): void {
    for (const delivery of this.#held.all())
      if (delivery.settlements === settler) this.#lose(delivery, 'connection-lost', why);
  }

  /** The queue is empty: with `untilEmpty` that is the end. */
  onEmpty(): void {
    if (this.#state === 'opening') this.#early.push(() => this.onEmpty());
    else if (this.untilEmpty) this.end();
  }

  /** The broker has taken messages back, to hand them out again. */
  takeBack(batch: readonly Taken[], why: string, reason: AbortReason = 'lease-lost'): void {
    const gone = new Set(batch);
    for (const delivery of this.#held.all()) if (gone.has(delivery.taken)) this.#lose(delivery, reason, why);
  }

  /** Intake is over: well, or by an error. */
  end(error?: unknown): void {
    if (this.#state === 'over') return;
    this.#state = 'over';
    // First, so that what goes back does not come again at once.
    this.#inflow?.stop();
    for (const deliver of this.#early.splice(0)) deliver();
    if (error === undefined) this.#resolveEnded();
    else this.#rejectEnded(error);
    if (this.#held.size === 0) void this.#leave();
  }

  close(): Promise<void> {
    this.end();
    return this.#left;
  }

  /**
   * For the close of the backend: takes every message from its handler and gives it back; settlements under way are
   * waited for. Bounded: what a silent broker does not take back comes again by itself.
   */
  async abandon(): Promise<void> {
    this.end();
    const unfinished = new Map<Settlements<Taken>, TakenDelivery<Taken>[]>();
    for (const delivery of this.#held.all()) {
      if (!delivery.isOpen) continue;
      delivery.lose('shutdown', 'The backend was closed.');
      const deliveries = unfinished.get(delivery.settlements) ?? [];
      unfinished.set(delivery.settlements, deliveries);
      deliveries.push(delivery);
    }
    const givenBack = [...unfinished].map(async ([settlements, deliveries]) => {
      await settlements.giveBack(
        deliveries.map(({ taken }) => taken),
        true,
      );
      for (const delivery of deliveries) this.#over(delivery);
    });
    const farewell = new AbortController();
    await Promise.race([
      Promise.all(givenBack).then(() => this.#left),
      pause(this.#settings.clock, maxFarewellMs, farewell.signal),
    ]);
    farewell.abort();
  }

  async #onThrown(delivery: TakenDelivery<Taken>, error: unknown): Promise<void> {
    const { clock, logger } = this.#settings;
    const facts = { queue: this.queue, messageId: delivery.message.id, error };
    logger.error('a receiver threw; its message comes again after a pause', facts);
    // It keeps its place meanwhile, so that a receiver that throws at every message is not called without end.
    await pause(clock, pauseAfterThrowMs);
    // It may have settled the delivery before it threw: then that counts.
    if (delivery.isOpen) await delivery.release().catch(() => undefined);
  }

  #lose(delivery: TakenDelivery<Taken>, reason: AbortReason, why: string): void {
    if (delivery.lose(reason, why)) this.#over(delivery);
  }

  #over(delivery: TakenDelivery<Taken>): void {
    if (!this.#held.delete(delivery)) return;
    if (this.#state !== 'over') this.#inflow?.onRoom();
    else if (this.#held.size === 0) void this.#leave();
  }

  async #leave(): Promise<void> {
    for (const leases of this.#leases) leases.stop();
    await this.#inflow?.close();
    this.#resolveLeft();
  }
}
