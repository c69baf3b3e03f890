import { AbortScope } from './abort-scope.ts';
import type { Delivery, MessagingBackend, SubscribeOptions } from './backend.ts';
import type { Clock } from './clock.ts';
import { DeliveryAbortedError, MelangeError } from './errors.ts';
import { channels, isObserved, traced } from './instrumentation.ts';
import { type Lane, Lanes } from './lanes.ts';
import type { Outcome, ProcessingRules, Work } from './process-message.ts';
import { processMessage } from './process-message.ts';
import { Slots, type Slotted } from './slots.ts';

/** How the messages of a queue may overtake each other. */
export type Ordering = 'none' | 'key' | 'queue';

/** What a loop is given by its dispatcher. */
export interface LoopSettings {
  readonly backend: MessagingBackend;
  readonly clock: Clock;
  readonly concurrency: number;
  readonly ordering: Ordering;
  readonly handlerTimeoutMs: number | undefined;
  /** Pause before a message comes again that could not be settled, in ms. */
  readonly longestDelayMs: number;
  /** The rules for all its deliveries. */
  readonly rules: (hasDeadLetterQueue: boolean) => ProcessingRules;
  readonly report: (error: unknown, work: Work | undefined) => void;
  readonly onReceived: () => void;
  /** Called when an attempt is over: settled, or to be repeated in its lane. */
  readonly onOutcome: (outcome: Outcome) => void;
}

interface LaneWork extends Work, Slotted {
  attempt: number;
  /** Given back to the broker: what the handler does now changes nothing there. */
  released: boolean;
}

/** With keys in order, some deliveries wait in their lanes: more must be at hand to keep the handlers busy. */
const deliveriesPerHandler = 4;

/** One queue being consumed: lanes, concurrency, retries in place, and the way to stop. */
export class ConsumeLoop {
  readonly queue: string;
  readonly #settings: LoopSettings;
  readonly #lanes = new Lanes<LaneWork>();
  readonly #running = new Slots<LaneWork>();
  /** Lanes whose head waits for its retry, with the way to end the wait. */
  readonly #waiting = new Map<Lane<LaneWork>, () => void>();
  #rules: ProcessingRules;
  #stopping = false;
  #unfinished = 0;
  #onIdle: (() => void) | undefined;

  constructor(queue: string, settings: LoopSettings) {
    this.queue = queue;
    this.#settings = settings;
    this.#rules = settings.rules(false);
  }

  /** Deliveries received and not settled. */
  get inFlight(): number {
    return this.#unfinished;
  }

  /**
   * Consumes until `signal` is aborted or, with `untilEmpty`, the broker has nothing more; then drains.
   *
   * @param deadlineMs read when draining starts.
   */
  async run(signal: AbortSignal, untilEmpty: boolean, deadlineMs: () => number): Promise<void> {
    if (signal.aborted) return;
    const { concurrency, ordering } = this.#settings;
    const maxInFlight = ordering === 'key' ? concurrency * deliveriesPerHandler : concurrency;
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
      await this.#consume(signal, aborted, { maxInFlight, untilEmpty }, deadlineMs);
    } finally {
      // The signal outlives this run: it would keep every one that was.
      signal.removeEventListener('abort', abort);
    }
  }

  async #consume(
    signal: AbortSignal,
    aborted: Promise<void>,
    options: SubscribeOptions,
    deadlineMs: () => number,
  ): Promise<void> {
    const { backend } = this.#settings;
    const { deadLetterQueue } = await backend.describeQueue(this.queue);
    this.#rules = this.#settings.rules(deadLetterQueue !== undefined);
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
    const [closing] = await Promise.allSettled([subscription.close(), this.#drain(deadlineMs())]);
    if (failure !== undefined) throw failure;
    if (closing.status === 'rejected') throw closing.reason;
  }

  #receive(delivery: Delivery): void {
    const work: LaneWork = {
      delivery,
      attempt: delivery.attempt,
      scope: new AbortScope(delivery),
      released: false,
      slot: -1,
    };
    this.#unfinished += 1;
    this.#settings.onReceived();
    if (this.#stopping) {
      void this.#giveBack(work);
      return;
    }
    this.#lanes.enter(work, this.#laneKey(delivery));
    this.#pump();
  }

  #laneKey(delivery: Delivery): string | undefined {
    if (this.#settings.ordering === 'none') return undefined;
    return this.#settings.ordering === 'queue' ? '' : delivery.message.key;
  }

  #pump(): void {
    while (!this.#stopping && this.#running.size < this.#settings.concurrency) {
      const lane = this.#lanes.takeReady();
      if (lane === undefined) return;
      const work = lane.items[0] as LaneWork;
      if (lane.key !== undefined && isAborted(work.delivery)) {
        // Lost to a reconnect while it waited here: it comes again, behind the others of its lane.
        this.#finish();
        this.#lanes.advance(lane);
        continue;
      }
      this.#running.add(work);
      void this.#handle(work, lane);
    }
  }

  async #handle(work: LaneWork, lane: Lane<LaneWork>): Promise<void> {
    let retryInPlaceMs: number | undefined;
    try {
      if (isObserved(channels.receive)) {
        const { message } = work.delivery;
        const trace = { queue: this.queue, message, attempt: work.attempt };
        const attempt = () => this.#attempt(work, lane);
        retryInPlaceMs = await traced(channels.receive, () => trace, attempt);
      } else {
        retryInPlaceMs = await this.#attempt(work, lane);
      }
    } catch (error) {
      this.#settings.report(error, work);
      await this.#comeAgain(work);
    }
    this.#running.delete(work);
    if (work.released) {
      this.#pump();
      return;
    }
    if (retryInPlaceMs === undefined) {
      this.#finish();
      this.#lanes.advance(lane);
    } else if (this.#stopping) void this.#giveBack(work);
    else this.#waitInLane(work, lane, retryInPlaceMs);
    this.#pump();
  }

  /** Processes and settles the work. Answers after how many ms it is to be repeated in its lane, if it is. */
  async #attempt(work: LaneWork, lane: Lane<LaneWork>): Promise<number | undefined> {
    const { handlerTimeoutMs } = this.#settings;
    const processing =
      handlerTimeoutMs === undefined
        ? processMessage(work, this.#rules)
        : this.#processWithin(handlerTimeoutMs, work);
    const outcome = await processing;
    if (work.released) return undefined;
    if (outcome.kind === 'retry' && lane.key !== undefined) return outcome.delayMs;
    if (isObserved(channels.settle)) {
      const trace = { queue: this.queue, message: work.delivery.message, outcome: outcome.kind };
      await traced(
        channels.settle,
        () => trace,
        () => settle(work, outcome),
      );
    } else {
      await settle(work, outcome);
    }
    this.#settings.onOutcome(outcome);
    return undefined;
  }

  async #processWithin(handlerTimeoutMs: number, work: LaneWork): Promise<Outcome> {
    const { clock } = this.#settings;
    const cancel = clock.schedule(
      () =>
        work.scope.abort(
          new DeliveryAbortedError('timeout', `The handler took over ${handlerTimeoutMs} ms.`),
        ),
      handlerTimeoutMs,
    );
    try {
      return await processMessage(work, this.#rules);
    } finally {
      cancel();
    }
  }

  /**
   * The broker delivers again what could not be settled. A delivery that is open even so, for its dead-letter queue
   * is gone, would keep its place for ever.
   */
  async #comeAgain({ delivery }: LaneWork): Promise<void> {
    try {
      await delivery.retry({ delayMs: this.#settings.longestDelayMs });
    } catch (error) {
      if (!MelangeError.is(error, 'DELIVERY_SETTLED')) this.#settings.report(error, undefined);
    }
  }

  #waitInLane(work: LaneWork, lane: Lane<LaneWork>, delayMs: number): void {
    work.attempt += 1;
    this.#settings.onOutcome({ kind: 'retry', delayMs });
    const resume = (): void => {
      this.#waiting.delete(lane);
      this.#lanes.resume(lane);
      this.#pump();
    };
    this.#waiting.set(lane, this.#settings.clock.schedule(resume, delayMs));
  }

  async #drain(deadlineMs: number): Promise<void> {
    this.#stopping = true;
    for (const cancel of this.#waiting.values()) cancel();
    for (const work of this.#lanes) if (!this.#running.has(work)) void this.#giveBack(work);
    const cancel = this.#settings.clock.schedule(() => this.#abandon(deadlineMs), deadlineMs);
    await this.#idle();
    cancel();
  }

  #abandon(deadlineMs: number): void {
    for (const work of this.#running.all()) {
      work.scope.abort(
        new DeliveryAbortedError('shutdown', `Not finished within ${deadlineMs} ms of stopping.`),
      );
      void this.#giveBack(work);
    }
  }

  async #giveBack(work: LaneWork): Promise<void> {
    work.released = true;
    try {
      await work.delivery.release();
    } catch (error) {
      // Its handler was done, and its settlement is under way: that counts, and is waited for by the subscription.
      if (!MelangeError.is(error, 'DELIVERY_SETTLED')) this.#settings.report(error, work);
    }
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

function settle({ delivery, attempt }: LaneWork, outcome: Outcome): Promise<void> {
  switch (outcome.kind) {
    case 'acknowledge':
      return delivery.acknowledge();
    case 'retry':
      return delivery.retry({ delayMs: outcome.delayMs });
    case 'dead-letter':
      return delivery.deadLetter({ ...outcome, attempts: attempt });
    case 'acknowledged-early':
      return Promise.resolve();
  }
}

function isAborted(delivery: Delivery): boolean {
  return delivery.isAborted ?? delivery.signal.aborted;
}
