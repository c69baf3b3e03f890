import { AbortScope } from './abort-scope.ts';
import type { Delivery, MessagingBackend, SubscribeOptions } from './backend.ts';
import type { Clock } from './clock.ts';
import { DeliveryAbortedError, MelangeError } from './errors.ts';
import { channels, traced } from './instrumentation.ts';
import { type Lane, Lanes } from './lanes.ts';
import type { Outcome, ProcessingRules, Work } from './process-message.ts';
import { processMessage } from './process-message.ts';

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
  /** The rules for one delivery: its errors are reported with its facts. */
  readonly rulesFor: (work: Work, hasDeadLetterQueue: boolean) => ProcessingRules;
  readonly report: (error: unknown, work: Work | undefined) => void;
  readonly onReceived: () => void;
  /** Called when an attempt is over: settled, or to be repeated in its lane. */
  readonly onOutcome: (outcome: Outcome) => void;
}

interface LaneWork extends Work {
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
  readonly #running = new Set<LaneWork>();
  /** Lanes whose head waits for its retry, with the way to end the wait. */
  readonly #waiting = new Map<Lane<LaneWork>, () => void>();
  #hasDeadLetterQueue = false;
  #stopping = false;
  #unfinished = 0;
  #onIdle: (() => void) | undefined;

  constructor(queue: string, settings: LoopSettings) {
    this.queue = queue;
    this.#settings = settings;
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
    this.#hasDeadLetterQueue = (await backend.describeQueue(this.queue)).deadLetterQueue !== undefined;
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
      if (lane.key !== undefined && work.delivery.signal.aborted) {
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
    const { delivery } = work;
    let retryInPlaceMs: number | undefined;
    try {
      await traced(
        channels.receive,
        () => ({ queue: this.queue, message: delivery.message, attempt: work.attempt }),
        async () => {
          const outcome = await this.#process(work);
          if (work.released) return;
          if (outcome.kind === 'retry' && lane.key !== undefined) retryInPlaceMs = outcome.delayMs;
          else await this.#settle(work, outcome);
        },
      );
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

  async #process(work: LaneWork): Promise<Outcome> {
    const { handlerTimeoutMs, clock } = this.#settings;
    const rules = this.#settings.rulesFor(work, this.#hasDeadLetterQueue);
    if (handlerTimeoutMs === undefined) return processMessage(work, rules);
    const cancel = clock.schedule(
      () =>
        work.scope.abort(
          new DeliveryAbortedError('timeout', `The handler took over ${handlerTimeoutMs} ms.`),
        ),
      handlerTimeoutMs,
    );
    try {
      return await processMessage(work, rules);
    } finally {
      cancel();
    }
  }

  async #settle(work: LaneWork, outcome: Outcome): Promise<void> {
    const { delivery, attempt } = work;
    await traced(
      channels.settle,
      () => ({ queue: this.queue, message: delivery.message, outcome: outcome.kind }),
      async () => {
        if (outcome.kind === 'acknowledge') await delivery.acknowledge();
        else if (outcome.kind === 'retry') await delivery.retry({ delayMs: outcome.delayMs });
        else if (outcome.kind === 'dead-letter') await delivery.deadLetter({ ...outcome, attempts: attempt });
      },
    );
    this.#settings.onOutcome(outcome);
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
    for (const work of this.#running) {
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
