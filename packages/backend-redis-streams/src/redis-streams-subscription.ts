import { randomUUID } from 'node:crypto';
import {
  type Delivery,
  type Logger,
  MelangeError,
  QueueNotFoundError,
  type SubscribeOptions,
  type Subscription,
} from '@melange/core';
import { Acknowledgements } from './acknowledgements.ts';
import { isReply, type RedisStreamsConnection, type ScriptParameter } from './redis-streams-connection.ts';
import { RedisStreamsDelivery, type Settlements, type TakenEntry } from './redis-streams-delivery.ts';
import { translated } from './redis-streams-errors.ts';
import type { EntryFields } from './redis-streams-message-mapper.ts';
import type { RedisStreamsSettings } from './redis-streams-options.ts';
import type { ScriptName } from './redis-streams-scripts.ts';

/** Entries of one answer: others have their turn between two. */
const mostAtOnce = 128;
/** What a throwing receiver was given comes again after so long: at once would be a busy loop. */
const pauseAfterThrowMs = 1_000;
/** Giving back at the close is a courtesy: past this the end of the leases does it. */
const farewellMs = 2_000;

const pauseAfterLossMs = 10;

/** Id, number of deliveries, fields. */
type RawEntry = readonly [Buffer, number, readonly Buffer[]];

/** What a subscription needs of its backend. */
export interface SubscriptionSettings extends RedisStreamsSettings {
  readonly connection: RedisStreamsConnection;
  readonly logger: Logger;
  readonly queue: string;
  readonly deadLetterQueue: string | undefined;
  /** Called when it is over and nothing is unsettled. */
  readonly onGone: () => void;
}

/** An open intake of one queue: a consumer of its group. */
export class RedisStreamsSubscription implements Subscription, Settlements {
  readonly ended: Promise<void>;
  readonly queue: string;
  readonly deadLetterQueue: string | undefined;
  readonly #settings: SubscriptionSettings;
  readonly #maxInFlight: number;
  readonly #untilEmpty: boolean;
  readonly #receive: (delivery: Delivery) => void;
  /** Name among the consumers of the group. */
  readonly #consumer = randomUUID();
  readonly #unsettled = new Map<string, RedisStreamsDelivery>();
  readonly #acknowledgements: Acknowledgements;
  readonly #stopListening: () => void;
  readonly #leases: NodeJS.Timeout;
  /** Of `performance.now()`: when leases that ended are looked for again. */
  #looksForExpiredAt = 0;
  #timer: NodeJS.Timeout | undefined;
  #isOver = false;
  #taking: Promise<void> | undefined;
  #isWoken = false;
  #isRenewing = false;
  #refusedBecause: string | undefined;
  #lostAnswer = false;
  #renewedAt = performance.now();
  /** Unsettled, and settled without the answer of Redis. */
  #held = 0;
  /** What the close of the backend gives back. */
  #givingBack: Promise<void> | undefined;
  readonly #left: Promise<void>;
  #resolveLeft: () => void = () => undefined;
  #resolveEnded: () => void = () => undefined;
  #rejectEnded: (error: unknown) => void = () => undefined;

  constructor(
    settings: SubscriptionSettings,
    options: SubscribeOptions,
    receive: (delivery: Delivery) => void,
  ) {
    if (!(options.maxInFlight >= 1))
      throw new MelangeError('CONFIGURATION', `maxInFlight must be at least 1, not ${options.maxInFlight}.`);
    this.queue = settings.queue;
    this.deadLetterQueue = settings.deadLetterQueue;
    this.#settings = settings;
    this.#maxInFlight = options.maxInFlight;
    this.#untilEmpty = options.untilEmpty === true;
    this.#receive = receive;
    this.#acknowledgements = new Acknowledgements((ids) => this.#run('acknowledge', ids));
    this.ended = new Promise((resolve, reject) => {
      this.#resolveEnded = resolve;
      this.#rejectEnded = reject;
    });
    this.#left = new Promise((resolve) => {
      this.#resolveLeft = resolve;
    });
    // Whoever does not look at `ended` must not crash by it.
    this.ended.catch(() => undefined);
    this.#stopListening = settings.connection.onWake(this.queue, () => this.#wake());
    this.#leases = setInterval(() => void this.#renew(), settings.leaseMs / 3);
    // Not in this turn: the subscriber is to hold its subscription before the first delivery comes.
    setImmediate(() => this.#wake());
  }

  /** Why Redis gives nothing at the moment, if so. */
  get stalledBecause(): string | undefined {
    return this.#refusedBecause;
  }

  async close(): Promise<void> {
    this.#end();
    this.#resolveEnded();
    await this.#left;
  }

  /** For the close of the backend: takes everything from its handlers and gives it back; what is being settled, is. */
  async abandon(): Promise<void> {
    this.#end();
    this.#resolveEnded();
    const open = [...this.#unsettled.values()].filter((delivery) =>
      delivery.lose('shutdown', 'The backend was closed.'),
    );
    if (!this.#settings.connection.isReady) return;
    if (open.length > 0)
      this.#givingBack = this.#giveBack(
        open.map(({ id }) => id),
        0,
      );
    await within(farewellMs, this.#left);
  }

  acknowledge(id: string): Promise<void> {
    return this.#acknowledgements.add(id);
  }

  async retry(id: string, attemptsMade: number, delayMs: number, copy: EntryFields = []): Promise<void> {
    await this.#run('retry', [id, attemptsMade, Math.ceil(delayMs), ...copy]);
  }

  async deadLetter(id: string, deadLetterQueue: string, copy: EntryFields): Promise<void> {
    await this.#run('deadLetter', [id, deadLetterQueue, ...copy], deadLetterQueue);
  }

  async release(id: string): Promise<void> {
    await this.#run('release', [1, id]);
  }

  settled(delivery: RedisStreamsDelivery): void {
    // One that Redis gave again meanwhile is another delivery of the same entry.
    if (this.#unsettled.get(delivery.id) === delivery) this.#unsettled.delete(delivery.id);
    this.#held -= 1;
    if (!this.#isOver) this.#wake();
    else if (this.#held === 0) void this.#leave();
  }

  #wake(): void {
    this.#isWoken = true;
    if (this.#taking !== undefined || this.#isOver) return;
    clearTimeout(this.#timer);
    this.#taking = this.#take()
      .catch((error: unknown) => this.#fail(error))
      .finally(() => {
        this.#taking = undefined;
        const isDue = this.#isWoken && this.#held < this.#maxInFlight;
        if (isDue && !this.#isOver) setImmediate(() => this.#wake());
      });
  }

  /** Takes what there is room for; sees to it that the next look comes in time. */
  async #take(): Promise<void> {
    if (this.#lostAnswer) {
      const found = ((await this.#runOnce('pending', [])) as readonly RawEntry[]).map(entryOf);
      this.#lostAnswer = false;
      await this.#deliver(found.filter(({ id }) => !this.#unsettled.has(id)));
    }
    const room = Math.min(mostAtOnce, this.#maxInFlight - this.#held);
    if (room <= 0 || this.#isOver) return;
    this.#isWoken = false;
    const { leaseMs, pollMs } = this.#settings;
    const looksForExpired = performance.now() >= this.#looksForExpiredAt;
    if (looksForExpired) this.#looksForExpiredAt = performance.now() + Math.min(leaseMs / 2, 5_000);
    const parameters = [room, leaseMs, looksForExpired ? 1 : 0];
    const answer = await this.#runOnce('take', parameters);
    const [entries, dueMs] = answer as [readonly RawEntry[], number];
    this.#refusedBecause = undefined;
    const taken = entries.map(entryOf);
    await this.#deliver(taken);
    if (taken.length === room) this.#isWoken = true;
    else if (taken.length === 0 && this.#untilEmpty) {
      this.#end();
      this.#resolveEnded();
    }
    if (this.#isOver) return;
    const waitMs = dueMs < 0 ? pollMs : Math.min(pollMs, dueMs + 1);
    this.#timer = setTimeout(() => this.#wake(), waitMs);
  }

  async #deliver(taken: readonly TakenEntry[]): Promise<void> {
    for (const [index, entry] of taken.entries()) {
      if (this.#isOver) {
        // Taken by an answer that was under way, or closed from within `receive`: nobody has seen these.
        const unseen = taken.slice(index).map(({ id }) => id);
        return this.#giveBack(unseen, 1);
      }
      // Ours before, and its lease ended unnoticed.
      this.#unsettled.get(entry.id)?.lose('lease-lost', `The lease of ${this.#settings.leaseMs} ms ended.`);
      const delivery = new RedisStreamsDelivery(entry, this);
      if (this.#unsettled.size === 0) this.#renewedAt = performance.now();
      this.#unsettled.set(entry.id, delivery);
      this.#held += 1;
      try {
        this.#receive(delivery);
      } catch (error) {
        const facts = { queue: this.queue, messageId: delivery.message.id, error };
        this.#settings.logger.error('A receiver threw; its message comes again.', facts);
        delivery.retry({ delayMs: pauseAfterThrowMs }).catch(() => undefined);
      }
    }
  }

  /** Keeps what is unsettled ours; what is not any more is taken from its handler. */
  async #renew(): Promise<void> {
    const { leaseMs } = this.#settings;
    const ids = [...this.#unsettled.keys()];
    if (ids.length === 0 || this.#isRenewing) return;
    this.#isRenewing = true;
    const from = performance.now();
    try {
      const lost = await this.#runBy('renew', ids, Math.max(this.#renewedAt + leaseMs, from + leaseMs / 3));
      this.#renewedAt = from;
      for (const id of lost as readonly Buffer[]) {
        this.#unsettled.get(String(id))?.lose('lease-lost', 'Another subscription took the message over.');
      }
    } catch (error) {
      if (performance.now() < this.#renewedAt + leaseMs) return;
      const why = `The lease of ${leaseMs} ms could not be renewed.`;
      this.#settings.logger.warn(why, { queue: this.queue, deliveries: ids.length, error: String(error) });
      for (const id of ids) this.#unsettled.get(id)?.lose('lease-lost', why);
    } finally {
      this.#isRenewing = false;
    }
  }

  async #giveBack(ids: readonly string[], deliveries: 0 | 1): Promise<void> {
    await this.#runBy('release', [deliveries, ...ids], performance.now() + farewellMs).catch(() => undefined);
  }

  #fail(error: unknown): void {
    if (this.#isOver) return;
    const why = translated(error, this.queue);
    if (MelangeError.is(why, 'QUEUE_NOT_FOUND') || MelangeError.is(why, 'CLOSED')) {
      this.#end();
      this.#rejectEnded(why);
      const lost = new QueueNotFoundError(this.queue).message;
      for (const delivery of [...this.#unsettled.values()]) delivery.lose('shutdown', lost);
      return;
    }
    if (!isReply(error)) {
      // Redis may have given us messages that we have not heard of.
      this.#lostAnswer = true;
      this.#timer = setTimeout(() => this.#wake(), pauseAfterLossMs);
      return;
    }
    this.#refusedBecause = error.message;
    this.#settings.logger.error('Receiving failed; trying again.', { queue: this.queue, error: String(why) });
    this.#isWoken = false;
    this.#timer = setTimeout(() => this.#wake(), this.#settings.pollMs);
  }

  #end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#stopListening();
    if (this.#held === 0) void this.#leave();
  }

  /** Nothing is unsettled any more. Never rejects. */
  async #leave(): Promise<void> {
    clearInterval(this.#leases);
    if (this.#settings.connection.isReady) {
      // An answer on its way brings messages that would wait for the end of their lease: they are given back, too.
      if (this.#taking !== undefined) await within(farewellMs, this.#taking);
      await this.#givingBack;
      await this.#runBy('leave', [], performance.now() + farewellMs).catch(() => undefined);
    }
    this.#settings.onGone();
    this.#resolveLeft();
  }

  /** A settlement: worth repeating as long as the lease may last. @param other queue that may be missing. */
  async #run(
    script: ScriptName,
    parameters: readonly ScriptParameter[],
    other: string = this.queue,
  ): Promise<void> {
    try {
      await this.#runBy(script, parameters, performance.now() + this.#settings.leaseMs);
    } catch (error) {
      // After the close of the backend it comes again.
      if (!MelangeError.is(error, 'CLOSED')) throw translated(error, other);
    }
  }

  #runOnce(script: ScriptName, parameters: readonly ScriptParameter[]): Promise<unknown> {
    return this.#settings.connection.runOnce(script, [this.queue, this.#consumer, ...parameters]);
  }

  #runBy(script: ScriptName, parameters: readonly ScriptParameter[], deadline: number): Promise<unknown> {
    return this.#settings.connection.run(script, [this.queue, this.#consumer, ...parameters], deadline);
  }
}

/** Waits for it, but no longer than so many ms. */
async function within(milliseconds: number, promise: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const passed = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, milliseconds);
  });
  await Promise.race([promise, passed]);
  clearTimeout(timer);
}

function entryOf([id, deliveries, fields]: RawEntry): TakenEntry {
  return { id: String(id), deliveries, fields };
}
