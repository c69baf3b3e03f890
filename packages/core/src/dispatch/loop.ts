import type { Delivery, MessagingBackend, SubscribeOptions } from '../contract/backend.ts';
import type { Clock } from '../contract/clock.ts';
import { channels, isObserved, traced } from '../contract/instrumentation.ts';
import type { MaybePromise } from '../contract/maybe-promise.ts';
import { DeliveryAbortedError, MelangeError } from '../errors.ts';
import { type Lane, Lanes } from './lanes.ts';
import { limitTime } from './limit-time.ts';
import type { Outcome } from './outcome.ts';
import { Parking, type Wait } from './parking.ts';
import type { ProcessingRules } from './process-message.ts';
import { processMessage } from './process-message.ts';
import { causeOfUntold, settle } from './settle.ts';
import { Slots } from './slots.ts';
import { type Standing, StandingKeys } from './standing-keys.ts';
import { Suspects } from './suspects.ts';
import { Suspicion } from './suspicion.ts';
import { Work } from './work.ts';

/** How the messages of a queue may overtake each other. */
export type Ordering = 'none' | 'key' | 'queue';

/** What a loop is given by its dispatcher. */
export interface LoopSettings {
  readonly backend: MessagingBackend;
  readonly clock: Clock;
  readonly concurrency: number;
  readonly ordering: Ordering;
  readonly handlerTimeoutMs: number | undefined;
  /** How long stopping waits for running handlers, in ms, as of now. */
  readonly deadlineMs: () => number;
  /** Pause before a message comes again that could not be settled, in ms. */
  readonly longestDelayMs: number;
  /** The rules for all its deliveries. */
  readonly rules: (deadLetterQueue: string | undefined) => ProcessingRules;
  readonly report: (error: unknown, work: Work | undefined) => void;
  readonly onReceived: () => void;
  /** Called when an attempt is over, with `undefined` when the broker could not be told how it ended. */
  readonly onOutcome: (outcome: Outcome | undefined, work: Work) => void;
}

/** With keys in order. */
const deliveriesPerHandler = 4;
/** What is not to be at hand while a suspect runs comes again after so many ms. One of the delays of parking. */
const sentBackForMs = 1_000;

/** One queue being consumed: lanes, concurrency, retries in place, and the way to stop. */
export class ConsumeLoop {
  readonly queue: string;
  readonly #settings: LoopSettings;
  readonly #lanes = new Lanes<Work>();
  readonly #running = new Slots<Work>();
  /** Lanes whose head waits for its retry. */
  readonly #waiting = new Map<Lane<Work>, Wait & { readonly cancel: () => void }>();
  readonly #standing: StandingKeys;
  readonly #parking: Parking | undefined;
  readonly #suspects: Suspects;
  readonly #suspicion = new Suspicion();
  readonly #mayStay = (work: Work): boolean => !this.#suspects.mayNotStay(work);
  #rules: ProcessingRules;
  #stopping = false;
  #unfinished = 0;
  #onIdle: (() => void) | undefined;

  constructor(queue: string, settings: LoopSettings) {
    this.queue = queue;
    this.#settings = settings;
    this.#rules = settings.rules(undefined);
    this.#standing = new StandingKeys(settings.clock);
    if (settings.ordering === 'key') this.#parking = this.#newParking();
    this.#suspects = this.#newSuspects();
  }

  /** Deliveries received and not settled. */
  get inFlight(): number {
    return this.#unfinished;
  }

  /** Keys that stand still: the first of their messages failed and has not succeeded since. */
  get standing(): Standing | undefined {
    return this.#standing.tell(this.#parking?.size ?? 0);
  }

  /** Handlers under way. */
  get running(): number {
    return this.#running.size;
  }

  /** How long stopping would wait for running handlers, in ms. */
  get deadlineMs(): number {
    return this.#settings.deadlineMs();
  }

  /** Consumes until `signal` is aborted or, with `untilEmpty`, the broker has nothing more; then drains. */
  async run(signal: AbortSignal, untilEmpty: boolean): Promise<void> {
    if (signal.aborted) return;
    const maxInFlight = this.#window;
    let abort = (): void => undefined;
    const aborted = new Promise<void>((resolve) => {
      abort = () => {
        // In the same turn: what arrives from now on goes back untouched.
        this.#stopping = true;
        resolve();
      };
    });
    // Before anything is waited for: a stop that comes meanwhile must not be missed.
    signal.addEventListener('abort', abort, { once: true });
    try {
      await this.#consume(signal, aborted, { maxInFlight, untilEmpty });
    } finally {
      // The signal outlives this run: it would keep every one that was.
      signal.removeEventListener('abort', abort);
    }
  }

  async #consume(signal: AbortSignal, aborted: Promise<void>, options: SubscribeOptions): Promise<void> {
    const { backend } = this.#settings;
    const { deadLetterQueue } = await backend.describeQueue(this.queue);
    this.#rules = this.#settings.rules(deadLetterQueue);
    if (signal.aborted) return;
    const subscription = await backend.subscribe(this.queue, options, (delivery) => this.#receive(delivery));
    let failure: unknown;
    try {
      await Promise.race([aborted, subscription.ended]);
      if (!signal.aborted) await Promise.race([aborted, this.#idle()]);
    } catch (error) {
      failure = error;
      this.#settings.report(error, undefined);
    }
    // Looked at once drained: until then its failure would be one that nobody handles.
    const [closing] = await Promise.allSettled([subscription.close(), this.#drain(this.deadlineMs)]);
    if (failure !== undefined) throw failure;
    if (closing.status === 'rejected') throw closing.reason;
  }

  #receive(delivery: Delivery): void {
    const work = new Work(delivery, this.#suspicion.of(delivery));
    this.#unfinished += 1;
    this.#settings.onReceived();
    if (this.#stopping) {
      void this.#giveBack(work);
      return;
    }
    const key = this.#laneKey(delivery);
    if (this.#parking === undefined) this.#lanes.enter(work, key);
    else this.#parking.enter(work, key);
    this.#pump();
    // Behind others of its key, where no turn of its own sends it back.
    if (key !== undefined && this.#suspects.mayNotStay(work)) void this.#parking?.sendBack(this.#mayStay);
  }

  #laneKey(delivery: Delivery): string | undefined {
    if (this.#settings.ordering === 'none') return undefined;
    return this.#settings.ordering === 'queue' ? '' : delivery.message.key;
  }

  #pump(): void {
    const { concurrency } = this.#settings;
    while (!this.#stopping && (this.#running.size < concurrency || this.#suspects.isClosed)) {
      const lane = this.#lanes.takeReady();
      if (lane === undefined) {
        this.#parking?.relieve();
        return;
      }
      const work = lane.first as Work;
      if (lane.key !== undefined && work.isLost) {
        // Lost to a reconnect while it waited here: it comes again, behind the others of its lane.
        this.#finishWith(work);
        this.#lanes.advance(lane);
        continue;
      }
      if (!this.#suspects.admits(lane)) continue;
      this.#running.add(work);
      work.beginAttempt();
      void this.#handle(work, lane);
    }
  }

  async #handle(work: Work, lane: Lane<Work>): Promise<void> {
    let outcome: Outcome | undefined;
    try {
      if (isObserved(channels.receive)) {
        const { message } = work.delivery;
        const trace = { queue: this.queue, message, attempt: work.attempt };
        const attempt = () => this.#attempt(work, lane);
        outcome = await traced(channels.receive, () => trace, attempt);
      } else {
        // As `#attempt` does, without the promise that it would cost every message.
        outcome = await this.#process(work);
        const settling = this.#settle(work, lane, outcome);
        if (settling !== undefined) await settling;
      }
    } catch (error) {
      const untold = work.settledBy;
      outcome = undefined;
      work.settledBy = undefined;
      this.#settings.report(error, work);
      this.#settings.onOutcome(undefined, work);
      await this.#comeAgain(work, untold);
    }
    this.#running.delete(work);
    if (work.settledBy !== undefined) this.#settings.onOutcome(work.settledBy, work);
    if (lane.key !== undefined) this.#see(lane.key, outcome);
    if (work.released) {
      this.#settings.onOutcome({ kind: 'release' }, work);
      this.#pump();
      return;
    }
    if (work.settledBy !== undefined || outcome?.kind !== 'retry') {
      this.#finishWith(work);
      this.#lanes.advance(lane);
    } else if (this.#stopping) {
      this.#settings.onOutcome({ kind: 'release' }, work);
      void this.#giveBack(work);
    } else this.#waitInLane(work, lane, outcome);
    this.#pump();
    if (this.#running.size === 0) this.#suspects.quiet();
  }

  async #attempt(work: Work, lane: Lane<Work>): Promise<Outcome> {
    const outcome = await this.#process(work);
    await this.#settle(work, lane, outcome);
    return outcome;
  }

  #process(work: Work): Promise<Outcome> {
    const { handlerTimeoutMs } = this.#settings;
    if (handlerTimeoutMs === undefined) return processMessage(work, this.#rules);
    const limit = limitTime(work, handlerTimeoutMs, this.#settings.clock);
    return processMessage(work, this.#rules).finally(limit);
  }

  /** Tells the broker, unless the work was given back or is to be repeated in its lane. */
  #settle(work: Work, lane: Lane<Work>, outcome: Outcome): MaybePromise<void> {
    if (work.released || (outcome.kind === 'retry' && lane.key !== undefined)) return;
    work.settledBy = outcome;
    if (!isObserved(channels.settle)) return settle(work, outcome);
    const trace = { queue: this.queue, message: work.delivery.message, outcome: outcome.kind };
    return traced(
      channels.settle,
      () => trace,
      async () => settle(work, outcome),
    );
  }

  /**
   * The broker delivers again what could not be settled. A delivery that is open even so, for its dead-letter queue
   * is gone, would keep its place for ever.
   */
  async #comeAgain({ delivery }: Work, untold: Outcome | undefined): Promise<void> {
    try {
      await delivery.retry({ delayMs: this.#settings.longestDelayMs, because: causeOfUntold(untold) });
    } catch (error) {
      if (!MelangeError.is(error, 'DELIVERY_SETTLED')) this.#settings.report(error, undefined);
    }
  }

  #waitInLane(work: Work, lane: Lane<Work>, outcome: Outcome & { readonly kind: 'retry' }): void {
    this.#settings.onOutcome(outcome, work);
    if (outcome.because === 'failed') work.attempt += 1;
    if (outcome.because !== 'not-run') work.redeliveries = 0;
    this.#suspects.finished(work);
    const resume = (): void => {
      this.#waiting.delete(lane);
      this.#lanes.resume(lane);
      this.#pump();
    };
    const { clock } = this.#settings;
    const until = clock.monotonicNow() + outcome.delayMs;
    const cancel = clock.schedule(resume, outcome.delayMs);
    this.#waiting.set(lane, { until, because: outcome.because, cancel });
  }

  #see(key: string, outcome: Outcome | undefined): void {
    if (outcome?.kind === 'retry') this.#standing.stands(key, outcome.delayMs);
    else this.#standing.goesOn(key);
  }

  /** Deliveries that may be at hand. With keys in order, some wait in their lanes: more keep the handlers busy. */
  get #window(): number {
    const { concurrency, ordering } = this.#settings;
    return ordering === 'key' ? concurrency * deliveriesPerHandler : concurrency;
  }

  #newParking(): Parking {
    const { clock, concurrency, report } = this.#settings;
    return new Parking({
      clock,
      lanes: this.#lanes,
      waitsUntil: (lane) => this.#waiting.get(lane)?.until,
      endWait: (lane) => {
        const wait = this.#waiting.get(lane);
        wait?.cancel();
        this.#waiting.delete(lane);
        return wait;
      },
      // What is left of the window does not keep all handlers busy.
      isStarved: () => {
        const stuck = this.#unfinished - this.#running.size;
        return this.#running.size < concurrency && stuck + concurrency > this.#window;
      },
      pump: () => this.#pump(),
      onLeft: () => {
        this.#finish();
        this.#pump();
      },
      report,
    });
  }

  #newSuspects(): Suspects {
    const { clock, backend, ordering } = this.#settings;
    // With all in one lane nothing is at hand beside its first message.
    const maySendBack = backend.capabilities.releaseKeepsAttempt && ordering !== 'queue';
    return new Suspects({
      clock,
      random: this.#rules.random,
      maxRedeliveries: this.#rules.maxRedeliveries,
      resume: (lanes) => {
        for (const lane of lanes) this.#lanes.resume(lane);
        this.#pump();
      },
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
    this.#finish();
  }

  async #drain(deadlineMs: number): Promise<void> {
    this.#stopping = true;
    for (const { cancel } of this.#waiting.values()) cancel();
    this.#parking?.stop();
    for (const work of this.#lanes) if (!this.#running.has(work)) void this.#giveBack(work);
    for (const work of this.#parking?.atHand() ?? []) void this.#giveBack(work);
    // Those of lanes with a key were among them.
    for (const { key, first } of this.#suspects.drain()) {
      if (key === undefined && first !== undefined) void this.#giveBack(first);
    }
    for (const work of this.#running.all()) work.endWait?.();
    const cancel = this.#settings.clock.schedule(() => this.#abandon(deadlineMs), deadlineMs);
    await this.#idle();
    cancel();
  }

  #abandon(deadlineMs: number): void {
    for (const work of this.#running.all()) {
      work.abort(new DeliveryAbortedError('shutdown', `Not finished within ${deadlineMs} ms of stopping.`));
      void this.#giveBack(work);
    }
  }

  async #giveBack(work: Work): Promise<void> {
    work.released = true;
    try {
      await work.delivery.release();
    } catch (error) {
      // Its handler was done, and its settlement is under way: that counts, and is waited for by the subscription.
      if (!MelangeError.is(error, 'DELIVERY_SETTLED')) this.#settings.report(error, work);
    }
    this.#finish();
  }

  /** The work has left its lane. */
  #finishWith(work: Work): void {
    const { delivery } = work;
    // Asked only of what was lost before: the answer may cost a signal.
    if ((delivery.redeliveries ?? 0) > 0 && work.isLost) this.#suspicion.survived(delivery);
    this.#suspects.finished(work);
    this.#finish();
  }

  #finish(): void {
    this.#unfinished -= 1;
    if (this.#unfinished === 0) this.#onIdle?.();
  }

  #idle(): Promise<void> {
    if (this.#unfinished === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const waited = this.#onIdle;
      this.#onIdle = () => {
        waited?.();
        resolve();
      };
    });
  }
}
