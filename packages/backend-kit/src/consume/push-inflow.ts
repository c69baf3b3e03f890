import { type Clock, MelangeError, QueueNotFoundError } from '@melange/core';
import { pause } from '../connection.ts';
import type { Fault, PushDriver, PushSource, Received } from '../driver.ts';
import { reasonOf } from '../explain.ts';
import type { Troubles } from '../health/troubles.ts';
import { reconnectDelayMs } from '../reconnect-delay.ts';
import type { Inflow, KitSubscription, OpenIntake } from './subscription.ts';

/** What an intake that the broker fills needs. */
export interface PushSettings {
  readonly clock: Clock;
  readonly troubles: Troubles;
  readonly random: () => number;
  readonly explain: (error: unknown) => Fault;
  /** Resolves when the broker can be asked. */
  readonly ready: () => Promise<void> | undefined;
}

/**
 * Keeps an intake open that the broker fills by itself. Invariants: one intake is open at a time; what a lost intake
 * delivered is lost before another one is opened; a message that arrives after the stop goes back.
 */
export class PushInflow<Taken extends Received> implements Inflow {
  readonly #settings: PushSettings;
  readonly #subscription: KitSubscription<Taken>;
  readonly #driver: PushDriver<Taken>;
  readonly #maxInFlight: number;
  readonly #stopping = new AbortController();
  readonly #subject: string;
  #source: PushSource<Taken> | undefined;
  #reopening: Promise<void> | undefined;

  constructor(
    settings: PushSettings,
    subscription: KitSubscription<Taken>,
    driver: PushDriver<Taken>,
    maxInFlight: number,
  ) {
    this.#settings = settings;
    this.#subscription = subscription;
    this.#driver = driver;
    this.#maxInFlight = maxInFlight;
    this.#subject = `receiving from queue "${subscription.queue}"`;
  }

  /** Opens the first intake. Rejects with whatever the driver says. */
  async open(): Promise<void> {
    const { clock } = this.#settings;
    const { queue, untilEmpty } = this.#subscription;
    let intake: OpenIntake<Taken> | undefined;
    /** Messages and losses that came before the driver gave its source. */
    const early: (() => void)[] = [];
    const whenOpen = (action: (open: OpenIntake<Taken>) => void): void => {
      if (intake === undefined) early.push(() => action(intake as OpenIntake<Taken>));
      else action(intake);
    };
    let isLost = false;
    const deliver = (taken: Taken, open: OpenIntake<Taken>): void => {
      if (isLost) return;
      const leaseEndsAt = open.leases?.endFrom(clock.monotonicNow());
      this.#subscription.deliver(taken, open, leaseEndsAt);
    };
    const source = await this.#driver.open(
      { queue, untilEmpty, maxInFlight: this.#maxInFlight },
      {
        deliver: (taken) => {
          // In this place, and not in a function, for there is one for every message.
          if (intake === undefined) early.push(() => deliver(taken, intake as OpenIntake<Taken>));
          else deliver(taken, intake);
        },
        takenBack: (batch, why, reason) => whenOpen(() => this.#subscription.takeBack(batch, why, reason)),
        empty: () => whenOpen(() => this.#subscription.onEmpty()),
        lost: (error) =>
          whenOpen(({ settler }) => {
            if (isLost) return;
            isLost = true;
            this.#source = undefined;
            this.#subscription.loseAll(
              settler,
              'The intake that delivered the message is gone; it comes again.',
            );
            this.#onLost(error);
          }),
      },
    );
    intake = this.#subscription.opened(source);
    this.#source = source;
    for (const action of early) action();
    if (this.#stopping.signal.aborted) void source.stop();
  }

  onRoom(): void {
    // The broker fills the room by itself.
  }

  stop(): void {
    this.#stopping.abort();
    this.#settings.troubles.forget(this.#subject);
    void this.#source?.stop();
  }

  async close(): Promise<void> {
    await this.#reopening;
    try {
      await this.#source?.close();
    } catch {
      // The connection is gone, and the intake with it.
    }
  }

  #onLost(error: unknown): void {
    if (this.#stopping.signal.aborted) return;
    this.#reopening = this.#reopen(error);
  }

  /** Never rejects. */
  async #reopen(cause: unknown): Promise<void> {
    const { clock, random, troubles, explain, ready } = this.#settings;
    const { queue, untilEmpty } = this.#subscription;
    let error = cause;
    for (let attempt = 1; !this.#stopping.signal.aborted; attempt += 1) {
      const fault = explain(error);
      if (MelangeError.is(error, 'CLOSED')) return;
      if (fault.kind === 'missing' && untilEmpty) {
        this.#subscription.end(new QueueNotFoundError(queue));
        return;
      }
      const missing = 'the queue does not exist: declare it again';
      const reason = fault.kind === 'unavailable' ? fault.reason : reasonOf(error);
      troubles.begin(this.#subject, fault.kind === 'missing' ? missing : reason);
      await pause(clock, reconnectDelayMs(attempt, random()), this.#stopping.signal);
      if (this.#stopping.signal.aborted) return;
      try {
        await ready();
        await this.open();
        troubles.end(this.#subject);
        return;
      } catch (again) {
        error = again;
      }
    }
  }
}
