import { randomUUID } from 'node:crypto';
import { checkSubscribeOptions, reconnectDelayMs, type Troubles } from '@melange/backend-kit';
import {
  type Delivery,
  type Logger,
  MelangeError,
  QueueNotFoundError,
  type SubscribeOptions,
  type Subscription,
} from '@melange/core';
import type { RedisStreamsConnection, ScriptParameter } from '../client/connection.ts';
import type { ScriptName } from '../client/scripts.ts';
import { isOwnFault, isReply, translated } from '../errors.ts';
import type { RedisStreamsSettings } from '../options.ts';
import { nobody } from '../topology/prelude.ts';
import type { EntryFields } from '../wire.ts';
import { Acknowledgements } from './acknowledgements.ts';
import { type ComesAgain, RedisStreamsDelivery, type Settlements, type TakenEntry } from './delivery.ts';
import { Leases } from './leases.ts';

/** Entries of one answer: others have their turn between two. */
const mostAtOnce = 128;
/** What a throwing receiver was given comes again after so long: at once would be a busy loop. */
const pauseAfterThrowMs = 1_000;
/** Giving back at the close is a courtesy: past this the end of the leases does it. */
const farewellMs = 2_000;

const pauseAfterLossMs = 10;
/** Ids in one script: others have their turn between two. */
const maxIdsAtOnce = 1_000;

/** Id, number of deliveries, fields. */
type RawEntry = readonly [Buffer, number, readonly Buffer[]];

/** What a subscription needs of its backend. */
export interface SubscriptionSettings extends RedisStreamsSettings {
  readonly connection: RedisStreamsConnection;
  readonly logger: Logger;
  readonly troubles: Troubles;
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
  readonly #unsettled: Leases<RedisStreamsDelivery>;
  readonly #acknowledgements: Acknowledgements;
  readonly #stopListening: () => void;
  readonly #receiving: string;
  /** Troubles of this queue, which are nobody's when it is not consumed any more. */
  readonly #subjects = new Set<string>();
  /** Of `performance.now()`: when leases that ended are looked for again. */
  #looksForExpiredAt = 0;
  #timer: NodeJS.Timeout | undefined;
  #isOver = false;
  #taking: Promise<void> | undefined;
  #isWoken = false;
  #lostAnswer = false;
  /** Failed tries to take, one after the other. */
  #refusals = 0;
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
    checkSubscribeOptions(options);
    this.queue = settings.queue;
    this.deadLetterQueue = settings.deadLetterQueue;
    this.#settings = settings;
    this.#maxInFlight = options.maxInFlight;
    this.#untilEmpty = options.untilEmpty === true;
    this.#receive = receive;
    this.#receiving = `receiving from queue "${settings.queue}"`;
    this.#acknowledgements = new Acknowledgements((ids) => this.#run('acknowledge', ids));
    this.#unsettled = new Leases({
      queue: settings.queue,
      leaseMs: settings.leaseMs,
      logger: settings.logger,
      renew: async (ids, deadline) => textsOf(await this.#runBy('renew', ids, deadline)),
    });
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
    // Not in this turn: the subscriber is to hold its subscription before the first delivery comes.
    setImmediate(() => this.#wake());
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
    const open = this.#unsettled
      .all()
      .filter((delivery) => delivery.lose('shutdown', 'The backend was closed.'));
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

  async retry(id: string, { failedAttempts, redeliveries, delayMs, copy = [] }: ComesAgain): Promise<void> {
    const parameters = [id, failedAttempts, redeliveries, Math.ceil(delayMs), ...copy];
    await this.#run('retry', parameters).catch((error: unknown) => this.#keep(id, error));
  }

  async deadLetter(id: string, deadLetterQueue: string, copy: EntryFields): Promise<void> {
    const subject = `dead-lettering from queue "${this.queue}" to queue "${deadLetterQueue}"`;
    const parameters = [id, deadLetterQueue, ...copy];
    const settled = this.#run('deadLetter', parameters, deadLetterQueue, subject);
    await settled.catch((error: unknown) => this.#keep(id, error));
  }

  async release(id: string): Promise<void> {
    await this.#run('release', [nobody, 1, id]);
  }

  settled(delivery: RedisStreamsDelivery): void {
    this.#unsettled.delete(delivery);
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
    if (this.#lostAnswer) await this.#recover();
    const room = Math.min(mostAtOnce, this.#maxInFlight - this.#held);
    if (room <= 0 || this.#isOver) return;
    this.#isWoken = false;
    const { leaseMs, pollMs } = this.#settings;
    const looksForExpired = performance.now() >= this.#looksForExpiredAt;
    if (looksForExpired) this.#looksForExpiredAt = performance.now() + Math.min(leaseMs / 2, 5_000);
    const parameters = [room, leaseMs, looksForExpired ? 1 : 0];
    const askedAt = performance.now();
    const answer = await this.#runOnce('take', parameters);
    const [entries, dueMs] = answer as [readonly RawEntry[], number];
    this.#refusals = 0;
    this.#settings.troubles.end(this.#receiving);
    const taken = entries.map((entry) => entryOf(entry, askedAt));
    if (taken.length > 0 && performance.now() - askedAt > leaseMs) {
      // The answer took longer than the leases last: they may be somebody else's by now.
      this.#isWoken = true;
      return this.#recover();
    }
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

  /** Hands over what is ours without our knowing, with its lease renewed: the answer that said so was lost, or came late. */
  async #recover(): Promise<void> {
    this.#lostAnswer = true;
    let last = '-';
    for (;;) {
      const ids = textsOf(await this.#runOnce('held', [last]));
      if (ids.length === 0) break;
      last = ids.at(-1) as string;
      const room = this.#maxInFlight - this.#held;
      const unknown = ids.filter((id) => !this.#unsettled.has(id)).slice(0, room);
      if (unknown.length === 0) continue;
      const askedAt = performance.now();
      const found = (await this.#runOnce('recover', unknown)) as readonly RawEntry[];
      await this.#deliver(found.map((entry) => entryOf(entry, askedAt)));
    }
    this.#lostAnswer = false;
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
      this.#unsettled.add(delivery);
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

  async #giveBack(ids: readonly string[], deliveries: 0 | 1): Promise<void> {
    const deadline = performance.now() + farewellMs;
    for (let start = 0; start < ids.length; start += maxIdsAtOnce) {
      const part = ids.slice(start, start + maxIdsAtOnce);
      await this.#runBy('release', [nobody, deliveries, ...part], deadline).catch(() => undefined);
    }
  }

  /** It could not be settled and comes again when its lease has ended: that is no crash, and must not count as one. */
  async #keep(id: string, error: unknown): Promise<never> {
    const deadline = performance.now() + farewellMs;
    await this.#runBy('release', [this.#consumer, 1, id], deadline).catch(() => undefined);
    throw error;
  }

  #fail(error: unknown): void {
    if (this.#isOver) return;
    const { troubles, logger } = this.#settings;
    const why = translated(error, this.queue);
    const isMissing = MelangeError.is(why, 'QUEUE_NOT_FOUND');
    if (isMissing) this.#loseAll(new QueueNotFoundError(this.queue).message);
    if (MelangeError.is(why, 'CLOSED') || isOwnFault(error) || (isMissing && this.#untilEmpty)) {
      if (isOwnFault(error)) logger.error('A subscription failed.', { queue: this.queue, error });
      this.#end();
      this.#rejectEnded(why);
      this.#loseAll(String(why));
      return;
    }
    if (!isReply(error)) {
      // Redis may have given us messages that we have not heard of.
      this.#lostAnswer = true;
      this.#timer = setTimeout(() => this.#wake(), pauseAfterLossMs);
      return;
    }
    this.#subjects.add(this.#receiving);
    troubles.begin(this.#receiving, isMissing ? 'the queue does not exist' : error.message);
    this.#isWoken = false;
    this.#refusals += 1;
    // Whoever declares the queue wakes its subscribers.
    this.#timer = setTimeout(() => this.#wake(), reconnectDelayMs(this.#refusals));
  }

  #loseAll(why: string): void {
    for (const delivery of this.#unsettled.all()) delivery.lose('lease-lost', why);
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
    this.#unsettled.stop();
    if (this.#settings.connection.isReady) {
      // An answer on its way brings messages that would wait for the end of their lease: they are given back, too.
      if (this.#taking !== undefined) await within(farewellMs, this.#taking);
      await this.#givingBack;
      await this.#runBy('leave', [], performance.now() + farewellMs).catch(() => undefined);
    }
    for (const subject of this.#subjects) this.#settings.troubles.forget(subject);
    this.#settings.onGone();
    this.#resolveLeft();
  }

  /**
   * A settlement: worth repeating as long as the lease may last.
   *
   * @param other queue that may be missing.
   * @param subject the trouble when Redis refuses.
   */
  async #run(
    script: ScriptName,
    parameters: readonly ScriptParameter[],
    other: string = this.queue,
    subject = `settling messages of queue "${this.queue}"`,
  ): Promise<void> {
    const { troubles, leaseMs } = this.#settings;
    try {
      await this.#runBy(script, parameters, performance.now() + leaseMs);
      troubles.end(subject);
    } catch (error) {
      // After the close of the backend it comes again.
      if (MelangeError.is(error, 'CLOSED')) return;
      const why = translated(error, other);
      this.#subjects.add(subject);
      if (isReply(error)) troubles.begin(subject, why instanceof Error ? why.message : String(why));
      throw why;
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

function entryOf([id, deliveries, fields]: RawEntry, askedAt: number): TakenEntry {
  return { id: String(id), deliveries, askedAt, fields };
}

function textsOf(answer: unknown): string[] {
  return (answer as readonly Buffer[]).map(String);
}
