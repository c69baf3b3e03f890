import type { Delivery } from '../contract/backend.ts';
import { DeliveryAbortedError } from '../errors.ts';
import { Attempts } from './attempts.ts';
import { InHand } from './in-hand.ts';
import { LaneWaits } from './lane-waits.ts';
import { type Lane, Lanes } from './lanes.ts';
import type { LoopSettings } from './loop-settings.ts';
import type { Outcome } from './outcome.ts';
import { Parking } from './parking.ts';
import type { ProcessingRules } from './process-message.ts';
import { Slots } from './slots.ts';
import { type Standing, StandingKeys } from './standing-keys.ts';
import { Suspects } from './suspects.ts';
import { Suspicion } from './suspicion.ts';
import { Work } from './work.ts';

/** With `ordering: 'key'` some deliveries wait in their lanes: so many for each handler keep the handlers busy. */
const deliveriesPerHandler = 4;
/** Delay of a message that is sent back while a suspect runs alone, in ms. One of the delays of `Parking`. */
const sentBackForMs = 1_000;

/** Decides which of the received messages run, and when: order, concurrency, retries in their lane, and stopping. */
export class Scheduler {
  readonly inHand: InHand;
  readonly #settings: LoopSettings;
  readonly #lanes = new Lanes<Work>();
  readonly #running = new Slots<Work>();
  readonly #attempts: Attempts;
  readonly #waits: LaneWaits;
  readonly #standing: StandingKeys;
  readonly #parking: Parking | undefined;
  readonly #suspects: Suspects;
  readonly #suspicion = new Suspicion();
  readonly #mayStay = (work: Work): boolean => !this.#suspects.mayNotStay(work);
  #isStopping = false;

  constructor(settings: LoopSettings, rules: ProcessingRules) {
    const { clock, ordering, report } = settings;
    this.#settings = settings;
    this.inHand = new InHand(report);
    this.#attempts = new Attempts(settings, rules, (work, lane, outcome) => this.#over(work, lane, outcome));
    this.#waits = new LaneWaits(clock, (lane) => this.#resume([lane]));
    this.#standing = new StandingKeys(clock);
    if (ordering === 'key') this.#parking = this.#newParking();
    this.#suspects = this.#newSuspects(rules);
  }

  /** How many deliveries may be received and not settled. */
  get maxInFlight(): number {
    const { concurrency, ordering } = this.#settings;
    return ordering === 'key' ? concurrency * deliveriesPerHandler : concurrency;
  }

  /** Handlers under way. */
  get running(): number {
    return this.#running.size;
  }

  /** Keys that stand still: the first of their messages failed and has not succeeded since. */
  get standing(): Standing | undefined {
    return this.#standing.tell(this.#parking?.size ?? 0);
  }

  /** Receives a delivery, and runs it as soon as its turn has come. */
  receive(delivery: Delivery): void {
    const work = new Work(delivery, this.#suspicion.of(delivery));
    this.inHand.add();
    if (this.#isStopping) {
      void this.inHand.giveBack(work);
      return;
    }
    const key = this.#laneKey(delivery);
    if (this.#parking === undefined) this.#lanes.enter(work, key);
    else this.#parking.enter(work, key);
    this.#pump();
    // It is behind others of its key, so that `#pump` does not look at it.
    if (key !== undefined && this.#suspects.mayNotStay(work)) void this.#parking?.sendBack(this.#mayStay);
  }

  /** Starts nothing from now on; deliveries that are still received are given back. */
  stop(): void {
    this.#isStopping = true;
  }

  /** Gives back the messages that do not run, waits for running handlers up to the deadline, then aborts their signals. */
  async drain(deadlineMs: number): Promise<void> {
    this.stop();
    this.#waits.endAll();
    this.#parking?.stop();
    for (const work of this.#lanes) if (!this.#running.has(work)) void this.inHand.giveBack(work);
    for (const work of this.#parking?.atHand() ?? []) void this.inHand.giveBack(work);
    // Suspects that have a key were given back above.
    for (const { key, first } of this.#suspects.drain()) {
      if (key === undefined && first !== undefined) void this.inHand.giveBack(first);
    }
    for (const work of this.#running.all()) work.endWait?.();
    const cancel = this.#settings.clock.schedule(() => this.#abandon(deadlineMs), deadlineMs);
    await this.inHand.none();
    cancel();
  }

  #abandon(deadlineMs: number): void {
    for (const work of this.#running.all()) {
      work.abort(new DeliveryAbortedError('shutdown', `Not finished within ${deadlineMs} ms of stopping.`));
      void this.inHand.giveBack(work);
    }
  }

  #laneKey(delivery: Delivery): string | undefined {
    if (this.#settings.ordering === 'none') return undefined;
    return this.#settings.ordering === 'queue' ? '' : delivery.message.key;
  }

  /** Starts the messages that may start. */
  #pump(): void {
    const { concurrency } = this.#settings;
    while (!this.#isStopping && (this.#running.size < concurrency || this.#suspects.isClosed)) {
      const lane = this.#lanes.takeReady();
      if (lane === undefined) {
        this.#parking?.relieve();
        return;
      }
      const work = lane.first as Work;
      if (work.isLost) {
        // Lost to a reconnect while it waited here: the broker delivers it again.
        this.#finish(work);
        this.#lanes.advance(lane);
        continue;
      }
      if (!this.#suspects.admits(lane)) continue;
      this.#running.add(work);
      work.beginAttempt();
      void this.#attempts.run(work, lane);
    }
  }

  #resume(lanes: readonly Lane<Work>[]): void {
    for (const lane of lanes) this.#lanes.resume(lane);
    this.#pump();
  }

  /** An attempt is over: its message leaves, or waits in its lane for the next one. */
  #over(work: Work, lane: Lane<Work>, outcome: Outcome | undefined): void {
    this.#running.delete(work);
    if (work.settledBy !== undefined) this.#settings.onOutcome(work.settledBy, work);
    if (lane.key !== undefined) this.#see(lane.key, outcome);
    if (work.released) {
      this.#settings.onOutcome({ kind: 'release' }, work);
      this.#pump();
      return;
    }
    if (work.settledBy !== undefined || outcome?.kind !== 'retry') {
      this.#finish(work);
      this.#lanes.advance(lane);
    } else if (this.#isStopping) {
      this.#settings.onOutcome({ kind: 'release' }, work);
      void this.inHand.giveBack(work);
    } else this.#waitInLane(work, lane, outcome);
    this.#pump();
    if (this.#running.size === 0) this.#suspects.quiet();
  }

  #waitInLane(work: Work, lane: Lane<Work>, outcome: Outcome & { readonly kind: 'retry' }): void {
    this.#settings.onOutcome(outcome, work);
    if (outcome.because === 'failed') work.attempt += 1;
    if (outcome.because !== 'not-run') work.redeliveries = 0;
    this.#suspects.finished(work);
    this.#waits.begin(lane, outcome.delayMs, outcome.because);
  }

  #see(key: string, outcome: Outcome | undefined): void {
    if (outcome?.kind === 'retry') this.#standing.stands(key, outcome.delayMs);
    else this.#standing.goesOn(key);
  }

  /** The work leaves its lane. */
  #finish(work: Work): void {
    const { delivery } = work;
    // `isLost` may have to make a signal, so it is only read of a message that was lost before.
    if ((delivery.redeliveries ?? 0) > 0 && work.isLost) this.#suspicion.survived(delivery);
    this.#suspects.finished(work);
    this.inHand.remove();
  }

  #newParking(): Parking {
    const { clock, concurrency, report } = this.#settings;
    return new Parking({
      clock,
      lanes: this.#lanes,
      waits: this.#waits,
      // The deliveries that may still be received cannot keep all handlers busy.
      isStarved: () => {
        const stuck = this.inHand.count - this.#running.size;
        return this.#running.size < concurrency && stuck + concurrency > this.maxInFlight;
      },
      isFull: () => this.inHand.count >= this.maxInFlight,
      pump: () => this.#pump(),
      onLeft: () => {
        this.inHand.remove();
        this.#pump();
      },
      report,
    });
  }

  #newSuspects({ random, maxRedeliveries }: ProcessingRules): Suspects {
    const { clock, backend, ordering } = this.#settings;
    // With `ordering: 'queue'` nothing runs beside the first message anyway.
    const maySendBack = backend.capabilities.releaseKeepsAttempt && ordering !== 'queue';
    return new Suspects({
      clock,
      random,
      maxRedeliveries,
      resume: (lanes) => this.#resume(lanes),
      isQuiet: () => this.#running.size === 0,
      sendBack: maySendBack ? (lanes) => this.#sendBack(lanes) : undefined,
      sendBackOne: (lane) => this.#sendLaneBack(lane),
    });
  }

  async #sendBack(lanes: readonly Lane<Work>[]): Promise<void> {
    const withoutKeys = lanes.filter(({ key }) => key === undefined);
    await Promise.all([
      this.#parking?.sendBack(this.#mayStay),
      ...withoutKeys.map((lane) => this.#sendLaneBack(lane)),
    ]);
  }

  async #sendLaneBack(lane: Lane<Work>): Promise<void> {
    if (lane.key !== undefined)
      return this.#parking?.sendLaneBack(lane as Lane<Work> & { readonly key: string }, this.#mayStay);
    const work = lane.first as Work;
    try {
      await work.delivery.retry({ delayMs: sentBackForMs, because: 'not-run' });
    } catch (error) {
      this.#settings.report(error, work);
    }
    this.inHand.remove();
  }
}
