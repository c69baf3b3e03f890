import type { ReceivedMessage } from '../wire/message.ts';
import type { AttemptMemory, Counts } from './attempt-memory.ts';
import { type DeliveryContext, SqsDelivery } from './delivery.ts';
import { GroupLanes } from './group-lanes.ts';
import type { Lease } from './lease.ts';

/** A message that was received and is not over: it is handed over, waits for its turn, or for the end of its delay. */
export interface Held {
  readonly received: ReceivedMessage;
  readonly lease: Lease;
  /** Group whose order the queue keeps. */
  readonly groupId: string | undefined;
  /** What its next delivery says. */
  counts: Counts;
  /** The delivery that was handed over and is not over. */
  delivery: SqsDelivery | undefined;
  /** Runs while it is parked. */
  timer: NodeJS.Timeout | undefined;
  /** End of its delay, in ms of `performance.now()`. */
  dueAt: number;
}

/** What the held messages of a subscription need to know. */
export interface HeldMessagesSettings {
  readonly maxInFlight: number;
  /** Whether messages may wait for their delays here: not where the subscription ends when the queue is empty. */
  readonly mayPark: boolean;
  readonly memory: AttemptMemory;
  readonly context: Pick<
    DeliveryContext,
    'deadLetter' | 'assertDeadLetterQueue' | 'onSettling' | 'onDeleting'
  >;
  /** Hands a delivery to the application. Must not throw. */
  handOver(delivery: SqsDelivery): void;
  /** Called whenever a message is over, or parked. */
  onChange(): void;
}

/**
 * Most messages that wait for a delay here, those of their groups behind them included; further ones go back to SQS
 * for it. They are besides the `maxInFlight`, so that a group in trouble holds up no other one.
 */
const maxParked = 1_000;

/**
 * The messages that one subscription holds: hands them over one of each group at a time and never more than
 * `maxInFlight`, and keeps here, leased, what would count as received once more if it went back to SQS for its delay.
 */
export class HeldMessages {
  readonly #settings: HeldMessagesSettings;
  readonly #context: DeliveryContext;
  readonly #all = new Set<Held>();
  readonly #lanes = new GroupLanes<Held>();
  /** Those that wait for a delay, with those of their groups behind them. */
  readonly #parked = new Set<Held>();
  /** Those whose turn it is, while `maxInFlight` others are handed over. */
  readonly #ready = new Set<Held>();
  #handedOver = 0;
  #isClosed = false;
  #givingBack: Promise<unknown> = Promise.resolve();

  constructor(settings: HeldMessagesSettings) {
    this.#settings = settings;
    this.#context = {
      ...settings.context,
      comeAgain: (delivery, delayMs, next) => this.#comeAgain(delivery, delayMs, next),
      release: ({ held }) => this.#goBack(held, 0),
      onOver: ({ held }, isDone) => this.#end(held, isDone),
    };
  }

  get size(): number {
    return this.#all.size;
  }

  /** How many more may be received. */
  get room(): number {
    return this.#settings.maxInFlight - (this.#all.size - this.#parked.size);
  }

  /** The one of this group that is before all others that are held. */
  headOf(groupId: string | undefined): Held | undefined {
    return this.#lanes.headOf(groupId);
  }

  /** Takes in what was received, in the order of each group. */
  take(received: readonly Held[]): void {
    const first = received.filter((held) => {
      const head = this.#lanes.headOf(held.groupId);
      this.#all.add(held);
      if (head !== undefined && this.#parked.has(head)) this.#parked.add(held);
      return this.#lanes.enter(held);
    });
    // When all are in: whoever is handed one may have it come again at once, and the others wait behind it.
    for (const held of first) this.#start(held);
  }

  /** It is not ours any more, and comes again. */
  lose(held: Held): void {
    if (held.delivery === undefined || held.delivery.lose('lease-lost')) this.#end(held, false);
  }

  /** Extends the leases that it is time to. */
  keep(now: number): void {
    for (const { lease } of [...this.#all]) lease.keep(now);
  }

  /** Hands over nothing more and gives back what is not handed over; resolves when that is done. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#giveBack(this.#lanes.takeWaiting());
    await this.#giveBack([...this.#all].filter(({ delivery }) => delivery === undefined));
  }

  /** Takes away what is handed over and not being settled, and gives it back. */
  async abandon(): Promise<void> {
    this.#isClosed = true;
    const open = [...this.#all].filter(({ delivery }) => delivery?.lose('shutdown') === true);
    await Promise.all([this.close(), this.#giveBack(open)]);
  }

  #start(held: Held): void {
    if (this.#handedOver < this.#settings.maxInFlight) this.#handOver(held);
    else this.#ready.add(held);
  }

  #handOver(held: Held): void {
    if (this.#isClosed) {
      void this.#giveBack([held]);
      return;
    }
    if (held.lease.hasEnded(performance.now())) {
      // The process stood still for so long that the message may be with somebody else.
      void this.#giveBack([held, ...this.#lanes.takeFollowers(held)]);
      return;
    }
    this.#handedOver += 1;
    held.delivery = new SqsDelivery(held, this.#context);
    this.#settings.handOver(held.delivery);
  }

  async #comeAgain(delivery: SqsDelivery, delayMs: number, next: Counts): Promise<void> {
    const { held } = delivery;
    const isRunAgain = next.attempt > held.counts.attempt;
    held.counts = next;
    const followers = this.#lanes.followersOf(held);
    // A failure of a message that holds up nobody here counts at SQS as it should.
    if ((followers.length > 0 || !isRunAgain) && this.#mayPark(held, followers.length, delayMs)) {
      this.#park(held, followers, delayMs);
      return;
    }
    await this.#goBack(held, delayMs);
  }

  async #goBack(held: Held, delayMs: number): Promise<void> {
    this.#settings.memory.remember(held.received, held.counts);
    try {
      // What must not overtake it goes back first.
      await this.#giveBack(this.#lanes.takeFollowers(held));
      await held.lease.giveBack(Math.ceil(delayMs / 1_000));
    } finally {
      this.#end(held, false);
    }
  }

  #mayPark(held: Held, followers: number, delayMs: number): boolean {
    if (!this.#settings.mayPark || this.#isClosed) return false;
    if (this.#parked.size + followers + 1 > maxParked) return false;
    const now = performance.now();
    return !held.lease.hasEnded(now) && delayMs < held.lease.maxHoldMs(now);
  }

  #park(held: Held, followers: readonly Held[], delayMs: number): void {
    held.delivery = undefined;
    this.#handedOver -= 1;
    held.dueAt = performance.now() + delayMs;
    for (const one of [held, ...followers]) this.#parked.add(one);
    held.timer = setTimeout(() => {
      held.timer = undefined;
      for (const one of [held, ...this.#lanes.followersOf(held)]) this.#parked.delete(one);
      this.#start(held);
    }, delayMs);
    this.#handOverReady();
    this.#settings.onChange();
  }

  #handOverReady(): void {
    for (const held of this.#ready) {
      if (this.#handedOver >= this.#settings.maxInFlight) return;
      this.#ready.delete(held);
      this.#handOver(held);
    }
  }

  #end(held: Held, isDone: boolean): void {
    if (!this.#all.has(held)) return;
    if (held.delivery !== undefined) this.#handedOver -= 1;
    held.delivery = undefined;
    this.#remove(held);
    if (isDone) this.#settings.memory.forget(held.received);
    // Its group goes on at the queue, with the message that comes again.
    else void this.#giveBack(this.#lanes.takeFollowers(held));
    const next = this.#lanes.leave(held);
    if (next !== undefined) this.#start(next);
    this.#handOverReady();
    this.#settings.onChange();
  }

  /** Gives back what did not run, the last one first; resolves when that is done, what went before it included. */
  async #giveBack(given: readonly Held[]): Promise<void> {
    const now = performance.now();
    const givenBack = [...given].reverse().map((held) => {
      const leftMs = held.timer === undefined ? 0 : Math.max(0, held.dueAt - now);
      this.#settings.memory.remember(held.received, held.counts);
      this.#remove(held);
      this.#lanes.leave(held);
      return held.lease.giveBack(Math.ceil(leftMs / 1_000));
    });
    if (givenBack.length > 0) this.#settings.onChange();
    this.#givingBack = Promise.allSettled([this.#givingBack, ...givenBack]);
    await this.#givingBack;
  }

  #remove(held: Held): void {
    clearTimeout(held.timer);
    held.timer = undefined;
    this.#all.delete(held);
    this.#parked.delete(held);
    this.#ready.delete(held);
  }
}
