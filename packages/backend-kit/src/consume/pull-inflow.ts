import { type Clock, MelangeError, QueueNotFoundError } from '@melange/core';
import type { Fault, PullSource, Received, Take } from '../driver.ts';
import { reasonOf } from '../explain.ts';
import type { Troubles } from '../health/troubles.ts';
import { reconnectDelayMs } from '../reconnect-delay.ts';
import type { Inflow, KitSubscription, OpenIntake } from './subscription.ts';

/** What asking for messages needs. */
export interface PullSettings {
  readonly clock: Clock;
  readonly troubles: Troubles;
  readonly random: () => number;
  readonly explain: (error: unknown) => Fault;
  /** Resolves when the broker can be asked. */
  readonly ready: () => Promise<void> | undefined;
}

/** Of a request for messages, in ms. */
const longestWaitMs = 5_000;

/**
 * Asks a broker for as many messages as there is room for, again and again. Invariants: the messages that are asked for
 * and those that are held never exceed `maxInFlight`; a message that arrives after the stop goes back; a queue that is deleted is asked for
 * again, with growing pauses, until it is declared.
 */
export class PullInflow<Taken extends Received> implements Inflow {
  readonly #settings: PullSettings;
  readonly #subscription: KitSubscription<Taken>;
  readonly #source: PullSource<Taken>;
  readonly #intake: OpenIntake<Taken>;
  readonly #stopping = new AbortController();
  readonly #subject: string;
  readonly #maxWaitMs: number;
  /** Until the messages of the answer are handed over. */
  readonly #takes = new Set<Promise<void>>();
  /** Requests without an answer. */
  #underWay = 0;
  /** Messages that were asked for and are not handed over. */
  #askedFor = 0;
  #handingOver: readonly Taken[] = [];
  #failures = 0;
  #cancelTimer: (() => void) | undefined;
  #cancelLinger: (() => void) | undefined;
  #isWoken = false;
  #isPumpDue = false;

  constructor(settings: PullSettings, subscription: KitSubscription<Taken>, source: PullSource<Taken>) {
    this.#settings = settings;
    this.#subscription = subscription;
    this.#source = source;
    this.#intake = subscription.opened(source);
    this.#subject = `receiving from queue "${subscription.queue}"`;
    const leaseMs = source.leases?.leaseMs ?? Number.POSITIVE_INFINITY;
    this.#maxWaitMs = subscription.untilEmpty ? 0 : Math.min(longestWaitMs, Math.ceil(leaseMs / 6));
  }

  /** Messages that came and whose settlement has no answer. */
  get held(): readonly Taken[] {
    return [...new Set([...this.#handingOver, ...this.#subscription.held])];
  }

  onRoom(): void {
    if (this.#isPumpDue) return;
    this.#isPumpDue = true;
    // Messages that are settled together make room for one request, not for one of a single message and then one of the others.
    queueMicrotask(() => {
      this.#isPumpDue = false;
      // Waiting for its time or for a wake-up: room alone brings no message.
      if (this.#cancelTimer === undefined) this.#pump();
    });
  }

  /** There may be something in the queue. */
  wake(): void {
    this.#isWoken = true;
    if (this.#failures > 0) return;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#pump();
  }

  stop(): void {
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#cancelLinger?.();
    this.#cancelLinger = undefined;
    this.#settings.troubles.forget(this.#subject);
    this.#stopping.abort();
  }

  async close(): Promise<void> {
    // An answer on its way brings messages that are given back, before the intake is freed.
    await Promise.all(this.#takes);
    try {
      await this.#source.close();
    } catch {
      // What a silent broker keeps of the intake, it forgets by itself.
    }
  }

  /** @param isDue whether room for a part of a request has waited long enough. */
  #pump(isDue = false): void {
    const { maxTakes = 1, maxMessagesPerTake = Number.POSITIVE_INFINITY, lingerMs = 0 } = this.#source;
    const whole = Math.min(maxMessagesPerTake, this.#subscription.maxInFlight);
    while (this.#underWay < maxTakes && this.#cancelTimer === undefined) {
      const room = Math.min(this.#subscription.room - this.#askedFor, whole);
      if (room <= 0) return;
      if (room < whole && lingerMs > 0 && !isDue) {
        this.#linger(lingerMs);
        return;
      }
      const take = this.#take(room).finally(() => {
        this.#takes.delete(take);
        if (!this.#stopping.signal.aborted) this.#pump();
      });
      this.#takes.add(take);
    }
  }

  /** Never rejects. */
  async #take(max: number): Promise<void> {
    this.#askedFor += max;
    this.#underWay += 1;
    this.#isWoken = false;
    const { clock, troubles, ready } = this.#settings;
    let asked: number;
    let answer: Take<Taken>;
    try {
      const connecting = ready();
      if (connecting !== undefined) await connecting;
      asked = clock.monotonicNow();
      answer = await this.#source.take(max, this.#stopping.signal, this.#maxWaitMs);
    } catch (error) {
      this.#underWay -= 1;
      this.#askedFor -= max;
      this.#onFailure(error);
      return;
    }
    const { taken } = answer;
    this.#underWay -= 1;
    this.#askedFor -= max - taken.length;
    this.#handingOver = taken;
    this.#failures = 0;
    troubles.end(this.#subject);
    // There may be more: the broker looks for it while these are handled.
    if (taken.length >= max) this.#pump();
    this.#onAnswer(answer, max, asked);
    this.#handingOver = [];
  }

  #onAnswer({ taken, nextMs, isEmpty = taken.length === 0 }: Take<Taken>, max: number, asked: number): void {
    const { leases, settler } = this.#intake;
    const givenAt = leases?.givenAfter(asked) ?? 0;
    for (let place = 0; place < taken.length; place += 1) {
      this.#askedFor -= 1;
      if (this.#subscription.isOver) {
        this.#askedFor -= taken.length - place - 1;
        // Together, so that they keep their order.
        void settler.giveBack(taken.slice(place));
        return;
      }
      const one = taken[place] as Taken;
      const leaseEndsAt = leases?.endFrom(one.leasedAt ?? givenAt);
      // The process stood still, and somebody else may have it: it comes again.
      if (leaseEndsAt !== undefined && leaseEndsAt <= this.#settings.clock.monotonicNow())
        this.#source.leases?.lost?.(one);
      else this.#subscription.deliver(one, this.#intake, leaseEndsAt);
    }
    if (isEmpty) this.#subscription.onEmpty();
    if (nextMs === undefined || taken.length >= max || this.#isWoken || this.#subscription.isOver) return;
    this.#askAgainIn(nextMs);
  }

  #onFailure(error: unknown): void {
    if (this.#stopping.signal.aborted) return;
    const { troubles, random, explain } = this.#settings;
    if (MelangeError.is(error, 'CLOSED')) {
      this.#subscription.end();
      return;
    }
    const fault = explain(error);
    const { queue, untilEmpty } = this.#subscription;
    if (fault.kind === 'missing' && untilEmpty) {
      this.#subscription.end(new QueueNotFoundError(queue));
      return;
    }
    this.#failures += 1;
    const reason = fault.kind === 'missing' ? 'the queue does not exist: declare it again' : reasonOf(error);
    troubles.begin(this.#subject, fault.kind === 'unavailable' ? fault.reason : reason);
    this.#askAgainIn(reconnectDelayMs(this.#failures, random()));
  }

  #linger(lingerMs: number): void {
    this.#cancelLinger ??= this.#settings.clock.schedule(() => {
      this.#cancelLinger = undefined;
      this.#pump(true);
    }, lingerMs);
  }

  #askAgainIn(delayMs: number): void {
    this.#cancelTimer?.();
    this.#cancelTimer = this.#settings.clock.schedule(() => {
      this.#cancelTimer = undefined;
      this.#pump();
    }, delayMs);
  }
}
