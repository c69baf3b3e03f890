import type {
  Again,
  BatchAnswer,
  BatchLimits,
  DriverContext,
  LeaseDriver,
  PullSource,
  SubscriptionContext,
  Take,
} from '@melange/backend-kit';
import { SharedRequests } from '@melange/backend-kit';
import { MelangeError, type Message } from '@melange/core';
import { maxEntries } from '../client/batch.ts';
import type { Sqs, SqsMessage } from '../client/sqs.ts';
import { isLostReceipt, isMissingQueue } from '../errors.ts';
import { isFifo } from '../topology/names.ts';
import type { Queues } from '../topology/queues.ts';
import { fromSqs, isBefore } from '../wire/message.ts';
import type { AttemptMemory, Counts } from './attempt-memory.ts';
import type { DeadLetters } from './dead-letters.ts';
import { Hand } from './hand.ts';
import type { Held } from './held.ts';
import { maxRequests, Visibilities } from './visibilities.ts';

/** Most receives of one subscription at the same time. */
const maxReceives = 10;
/** A FIFO queue gave nothing, and may hold back what follows the messages that are held: it is asked again after so many ms. */
const askAgainMs = 200;

/** What receiving and settling need. */
export interface SourceSettings {
  readonly sqs: Sqs;
  readonly queues: Queues;
  readonly deadLetters: DeadLetters;
  readonly context: DriverContext;
  readonly visibilityTimeoutSeconds: number;
  readonly waitTimeSeconds: number;
  readonly emptyAfterSeconds: number;
  readonly maxReceives: number | undefined;
  readonly acknowledgeLingerMs: number;
  /** The promise, which the connections are kept for. */
  untilIdle<Answer>(work: Promise<Answer>): Promise<Answer>;
}

/** What an intake needs besides. */
export interface SourceContext extends SubscriptionContext {
  readonly memory: AttemptMemory;
  wake(): void;
}

/** The intake of one subscription: receives, keeps what it received visible to nobody else, and settles it. */
export class Source implements PullSource<Held> {
  readonly maxMessagesPerTake: number = maxEntries;
  /** A receive costs the same for one message as for ten. */
  readonly lingerMs: number = 20;
  readonly acknowledging: Partial<BatchLimits>;
  readonly leases: LeaseDriver<Held>;
  readonly #settings: SourceSettings;
  readonly #context: SourceContext;
  readonly #keepsOrder: boolean;
  readonly #maxReceives: number;
  readonly #visibilities: Visibilities;
  readonly #deletes: SharedRequests<Held>;
  readonly #hand: Hand;
  /** Messages whose copy is in the dead-letter queue. */
  readonly #copied = new WeakSet<Held>();
  /** Receives under way that no request of the kit waits for any more. */
  readonly #spare = new Set<Promise<number>>();
  /** Those of the kit that wait. */
  readonly #waiters = new Set<() => void>();
  #receives = 1;
  #hasFailed = false;
  #isListening = false;
  #isStopped = false;
  #givenBack: Promise<void> | undefined;

  constructor(settings: SourceSettings, context: SourceContext) {
    const { sqs, visibilityTimeoutSeconds, acknowledgeLingerMs: lingerMs } = settings;
    const { clock } = settings.context;
    this.#settings = settings;
    this.#context = context;
    this.#keepsOrder = isFifo(context.queue);
    const most = settings.maxReceives ?? Math.min(maxReceives, Math.ceil(context.maxInFlight / maxEntries));
    this.#maxReceives = context.untilEmpty ? 1 : most;
    this.acknowledging = { maxMessages: maxEntries, maxUnderWay: maxRequests, lingerMs };
    this.#visibilities = new Visibilities(sqs, () => this.#url(), clock);
    const send = (batch: readonly Held[]) => this.acknowledge(batch);
    this.#deletes = new SharedRequests({ send, clock, limits: { maxMessages: maxEntries } });
    this.leases = {
      leaseMs: visibilityTimeoutSeconds * 1_000,
      maxPerRenewal: maxEntries,
      renew: (batch) => this.#visibilities.extend(batch, visibilityTimeoutSeconds),
      lost: (held) => this.#hand.lose(held),
    };
    this.#hand = new Hand({
      clock,
      leases: this.leases,
      mayPark: !context.untilEmpty,
      giveBack: (held, delayMs) => this.#giveBack(held, delayMs).catch(() => undefined),
      onChange: () => this.#onChange(),
    });
  }

  /** One while there is little to receive, more while they come back full. */
  get maxTakes(): number {
    return this.#receives;
  }

  async take(max: number, signal: AbortSignal): Promise<Take<Held>> {
    this.#stopWith(signal);
    const ready = this.#hand.takeReady(max);
    if (ready.length > 0) return { taken: ready };
    const holdsBack = this.#keepsOrder && this.#hand.hasGroups;
    const received = await this.#received(Math.min(max, max - this.#hand.waiting));
    const taken = this.#hand.takeReady(max);
    if (received !== 0) return { taken, isEmpty: false };
    // A message that is held here keeps the others of its group at the queue.
    return holdsBack ? { taken, isEmpty: false, nextMs: askAgainMs } : { taken };
  }

  async acknowledge(batch: readonly Held[]): Promise<BatchAnswer> {
    const handles = batch.map(({ raw }) => raw.ReceiptHandle ?? '');
    let answer: BatchAnswer;
    try {
      answer = await this.#settings.sqs.deleteMessages(await this.#url(), handles);
    } catch (error) {
      // Nothing is left of a queue that is gone.
      if (!isMissing(error)) throw error;
    }
    const errors = answer?.map((error) => (isLostReceipt(error) ? undefined : error));
    for (const [place, held] of batch.entries()) {
      if (errors?.[place] !== undefined) continue;
      this.#context.memory.forget(held.raw);
      this.#hand.leave(held);
    }
    return errors;
  }

  async retry(held: Held, { delayMs, attempt, redeliveries }: Again): Promise<void> {
    const isRunAgain = attempt > held.attempt;
    const counts = { attempt, redeliveries };
    if (!this.#isStopped && delayMs < this.#visibilities.maxHoldMs(held)) {
      const next: Held = { ...held, ...counts, message: fromSqs(held.raw) };
      if (this.#hand.park(held, next, delayMs, isRunAgain)) return;
    }
    await this.#goBack(held, delayMs, counts);
  }

  async deadLetter(held: Held, deadLetterQueue: string, copy: Message): Promise<void> {
    if (!this.#copied.has(held)) await this.#settings.deadLetters.copy(held.raw, deadLetterQueue, copy);
    // Its deletion may have to be tried again, and needs no second copy.
    this.#copied.add(held);
    await this.#deletes.add(held);
  }

  async release(batch: readonly Held[]): Promise<void> {
    // The last one first: that is how a FIFO queue gets its order back.
    await Promise.all([...batch].reverse().map((held) => this.#goBack(held, 0, held)));
  }

  async close(): Promise<void> {
    await Promise.all([this.#givenBack, this.#hand.giveBackKept()]);
    this.#hand.close();
  }

  /** What must not overtake it goes back first. */
  async #goBack(held: Held, delayMs: number, counts: Counts): Promise<void> {
    try {
      await this.#hand.giveBackFollowers(held);
      await this.#giveBack(held, delayMs, counts);
    } finally {
      // Also where SQS did not hear of it: the message comes again when its visibility ends, and its group goes on.
      this.#hand.leave(held);
    }
  }

  async #giveBack(held: Held, delayMs: number, counts: Counts = held): Promise<void> {
    this.#context.memory.remember(held.raw, counts);
    await this.#visibilities.end(held, delayMs).catch(unlessMissing);
  }

  #url(): Promise<string> {
    return this.#settings.queues.urlOf(this.#context.queue);
  }

  #onChange(): void {
    for (const wake of this.#waiters) wake();
    this.#context.wake();
  }

  /** Receives that are under way go on: what they bring would else be lost to everybody for a while. */
  #stopWith(signal: AbortSignal): void {
    if (this.#isListening) return;
    this.#isListening = true;
    signal.addEventListener('abort', () => {
      this.#isStopped = true;
      this.#givenBack = this.#hand.giveBackKept();
      for (const wake of this.#waiters) wake();
    });
  }

  /** How many messages a receive brought; nothing when something else may be handed over before it is answered. */
  async #received(count: number): Promise<number | undefined> {
    const [spare] = this.#spare;
    const receive = spare ?? (count > 0 ? this.#receive(count) : undefined);
    if (spare !== undefined) this.#spare.delete(spare);
    let received: number | undefined;
    let wake: () => void = () => undefined;
    await new Promise<void>((resolve, reject) => {
      wake = resolve;
      this.#waiters.add(wake);
      receive?.then((messages) => {
        received = messages;
        resolve();
      }, reject);
    }).finally(() => this.#waiters.delete(wake));
    if (receive !== undefined && received === undefined) this.#keepSpare(receive);
    return received;
  }

  #keepSpare(receive: Promise<number>): void {
    this.#spare.add(receive);
    const over = (): void => void this.#spare.delete(receive);
    receive.then(over, over);
  }

  /** Answers how many messages came; they are in the hand, or went back. */
  async #receive(count: number): Promise<number> {
    const { context, queues, sqs, waitTimeSeconds, emptyAfterSeconds, visibilityTimeoutSeconds } =
      this.#settings;
    const { queue, untilEmpty } = this.#context;
    const asked = context.clock.monotonicNow();
    const waitSeconds = untilEmpty ? emptyAfterSeconds : waitTimeSeconds;
    const receive = this.#url().then((QueueUrl) =>
      sqs.receive({
        QueueUrl,
        MaxNumberOfMessages: count,
        // After a failure a quick answer tells whether it is over.
        WaitTimeSeconds: this.#hasFailed ? Math.min(1, waitSeconds) : waitSeconds,
        VisibilityTimeout: visibilityTimeoutSeconds,
        MessageAttributeNames: ['All'],
        MessageSystemAttributeNames: [
          'ApproximateReceiveCount',
          'MessageGroupId',
          ...(this.#keepsOrder ? (['SequenceNumber'] as const) : []),
        ],
      }),
    );
    try {
      const messages = await this.#settings.untilIdle(receive.then((all) => this.#enter(all, asked)));
      this.#hasFailed = false;
      if (messages === count) this.#receives = Math.min(this.#maxReceives, this.#receives * 2);
      else if (messages === 0) this.#receives = 1;
      return messages;
    } catch (error) {
      if (isMissingQueue(error)) queues.forget(queue);
      this.#hasFailed = true;
      this.#receives = 1;
      throw error;
    }
  }

  async #enter(messages: readonly SqsMessage[], asked: number): Promise<number> {
    const receivedAt = this.#hand.givenAfter(asked);
    const firsts = new Map<string, SqsMessage>();
    const held = messages.map((raw) => this.#hold(raw, receivedAt, firsts));
    if (this.#isStopped) await this.release(held).catch(() => undefined);
    else if (held.length > 0) this.#hand.enter(held);
    return held.length;
  }

  /** @param firsts the first message of each group in this receive; this one is added. */
  #hold(raw: SqsMessage, receivedAt: number, firsts: Map<string, SqsMessage>): Held {
    // On a standard queue a group is a matter of fair shares, and has no order.
    const groupId = this.#keepsOrder ? raw.Attributes?.MessageGroupId : undefined;
    let hasNotRun = false;
    if (groupId !== undefined) {
      const before = this.#hand.headOf(groupId)?.raw ?? firsts.get(groupId);
      // It can only have run when all that were before it in its group had left the queue.
      hasNotRun = before !== undefined && isBefore(before, raw);
      if (before === undefined) firsts.set(groupId, raw);
    }
    const counts = this.#context.memory.countsOf(raw, hasNotRun);
    return { raw, message: fromSqs(raw), ...counts, groupId, receivedAt, leasedAt: receivedAt };
  }
}

function isMissing(error: unknown): boolean {
  return isMissingQueue(error) || MelangeError.is(error, 'QUEUE_NOT_FOUND');
}

function unlessMissing(error: unknown): void {
  if (!isMissing(error)) throw error;
}
