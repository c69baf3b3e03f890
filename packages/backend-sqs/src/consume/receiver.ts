import { ReceiveMessageCommand } from '@aws-sdk/client-sqs';
import type { Troubles } from '@melange/backend-kit';
import {
  type DeadLetterOptions,
  type Delivery,
  type Logger,
  MelangeError,
  QueueNotFoundError,
  type SubscribeOptions,
  type Subscription,
} from '@melange/core';
import type { AwsClients } from '../client/clients.ts';
import { asMelangeError, isMissingQueue } from '../errors.ts';
import { isFifo } from '../topology/names.ts';
import type { SqsTopology } from '../topology/queues.ts';
import { isBefore, type ReceivedMessage } from '../wire/message.ts';
import type { AttemptMemory } from './attempt-memory.ts';
import type { SqsDelivery } from './delivery.ts';
import { type Held, HeldMessages } from './held-messages.ts';
import { Lease, type LeaseRequests } from './lease.ts';
import { type HeldMessage, type Received, Receives } from './receives.ts';

/** What a receiver needs of its backend. */
export interface ReceiverSettings {
  readonly queue: string;
  readonly clients: AwsClients;
  readonly topology: SqsTopology;
  readonly logger: Logger;
  readonly troubles: Troubles;
  readonly waitTimeSeconds: number;
  readonly emptyAfterSeconds: number;
  readonly maxReceives: number | undefined;
  readonly memory: AttemptMemory;
  requestsOf(url: string): LeaseRequests;
  deadLetter(held: Held, options: DeadLetterOptions): Promise<void>;
  assertDeadLetterQueue(): Promise<void>;
}

/** Longest wait at the close for what is unsettled to go back, in ms; after that it comes back by itself. */
const closeWithinMs = 3_000;

/** A message whose receiver threw comes again after so long, in ms, so that it does not spin. */
const pauseAfterThrowMs = 1_000;

/** One subscription: receives, keeps what it received visible to nobody else, and hands it over. */
export class SqsReceiver implements Subscription {
  readonly ended: Promise<void>;
  readonly #settings: ReceiverSettings;
  readonly #options: SubscribeOptions;
  readonly #receive: (delivery: Delivery) => void;
  readonly #receives: Receives;
  readonly #held: HeldMessages;
  /** Whether the queue keeps the order of its groups. */
  readonly #keepsOrder: boolean;
  #requests: LeaseRequests | undefined;
  #keeping: NodeJS.Timeout | undefined;
  /** The last two times at which leases were looked at: at the earlier one, what is received now was not here yet. */
  #looks: readonly [earlier: number, later: number] = [0, 0];
  #isClosed = false;
  /** How many were held when the last receive was asked for. */
  #heldWhenAsked = 0;
  #flushing: NodeJS.Immediate | undefined;
  /** Those that nobody settles yet. */
  readonly #open = new Set<SqsDelivery>();
  #closing: Promise<void> | undefined;
  #end: () => void = () => undefined;
  #fail: (error: unknown) => void = () => undefined;
  #onChange: () => void = () => undefined;

  constructor(settings: ReceiverSettings, options: SubscribeOptions, receive: (delivery: Delivery) => void) {
    this.#settings = settings;
    this.#options = options;
    this.#receive = receive;
    this.#keepsOrder = isFifo(settings.queue);
    this.ended = new Promise((resolve, reject) => {
      this.#end = resolve;
      this.#fail = reject;
    });
    // Whoever waits for it hears of a failure; nobody has to.
    this.ended.catch(() => undefined);
    const { maxInFlight, untilEmpty = false } = options;
    this.#held = new HeldMessages({
      maxInFlight,
      mayPark: !untilEmpty,
      memory: settings.memory,
      context: {
        deadLetter: (held, why) => settings.deadLetter(held, why),
        assertDeadLetterQueue: () => settings.assertDeadLetterQueue(),
        onSettling: (delivery) => this.#open.delete(delivery),
        onDeleting: () => this.#onDeleting(),
      },
      handOver: (delivery) => this.#handOver(delivery),
      onChange: () => {
        this.#receives.fill();
        this.#onChange();
      },
    });
    this.#receives = new Receives({
      receive: (count, waitSeconds) => this.#request(count, waitSeconds),
      room: () => this.#held.room,
      maxInFlight,
      maxReceives: untilEmpty ? 1 : (settings.maxReceives ?? Math.min(10, Math.ceil(maxInFlight / 10))),
      waitSeconds: untilEmpty ? settings.emptyAfterSeconds : settings.waitTimeSeconds,
      onMessages: (received) => this.#onMessages(received),
      onFailure: (failures, error) => this.#onFailure(failures, error),
    });
  }

  /** @throws QueueNotFoundError, BrokerUnavailableError. */
  async start(): Promise<void> {
    const { url } = await this.#settings.topology.detailsOf(this.#settings.queue);
    this.#requests = this.#settings.requestsOf(url);
    const everyMs = Math.max(100, (this.#requests.visibilityTimeoutSeconds * 1_000) / 10);
    const now = performance.now();
    this.#looks = [now, now];
    this.#keeping = setInterval(() => this.#keep(), everyMs);
    this.#receives.fill();
  }

  close(): Promise<void> {
    this.#stop();
    this.#closing ??= this.#finish();
    return this.#closing;
  }

  /** Closes without waiting for unsettled deliveries: they are lost to their handlers and go back to the queue. */
  async abandon(): Promise<void> {
    this.#stop();
    const givenBack = this.#held.abandon();
    this.#requests?.deletes.flush();
    this.#requests?.visibilities.flush();
    const settled = (async () => {
      await givenBack;
      while (this.#held.size > 0) await this.#change();
    })();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, closeWithinMs);
    });
    await Promise.race([settled, late]);
    clearTimeout(timer);
    clearInterval(this.#keeping);
  }

  /** Resolves when the last receive was answered, and what it brought too late was given back. */
  async idle(): Promise<void> {
    await this.#receives.idle();
    await this.#requests?.visibilities.drain();
  }

  get #trouble(): string {
    return `receiving from queue "${this.#settings.queue}"`;
  }

  #stop(): void {
    this.#isClosed = true;
    this.#receives.stop();
    this.#settings.troubles.forget(this.#trouble);
    this.#end();
  }

  async #finish(): Promise<void> {
    await this.#held.close();
    while (this.#held.size > 0) await this.#change();
    clearInterval(this.#keeping);
  }

  async #request(count: number, waitSeconds: number): Promise<Received> {
    const { queue, topology, clients } = this.#settings;
    const url = await topology.urlOf(queue);
    this.#heldWhenAsked = this.#held.size;
    const command = new ReceiveMessageCommand({
      QueueUrl: url,
      MaxNumberOfMessages: count,
      WaitTimeSeconds: waitSeconds,
      VisibilityTimeout: this.#requests?.visibilityTimeoutSeconds,
      MessageAttributeNames: ['All'],
      MessageSystemAttributeNames: [
        'ApproximateReceiveCount',
        'MessageGroupId',
        ...(this.#keepsOrder ? (['SequenceNumber'] as const) : []),
      ],
    });
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(), waitSeconds * 1_000 + clients.requestTimeoutMs);
    // It outlives the backend when it is closed, and must not keep the process for that.
    timer.unref();
    const askedAt = performance.now();
    try {
      const { Messages = [] } = await clients.receiving.send(clients.abortable(command, controller.signal));
      // Had the process stood still since the answer came, it would not have looked twice since.
      return { messages: Messages, since: Math.max(askedAt, this.#looks[0]) };
    } catch (error) {
      if (isMissingQueue(error)) topology.forget(queue);
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  #onMessages({ messages, since }: Received): void {
    const requests = this.#requests;
    if (requests === undefined) return;
    const { memory } = this.#settings;
    if (this.#isClosed) {
      // Last one first: that is how a FIFO queue gets its order back.
      for (const message of [...messages].reverse()) {
        memory.remember(message, memory.countsOf(message));
        const lease = new Lease(message.ReceiptHandle ?? '', requests, since, () => undefined);
        lease.giveBack(0).catch(() => undefined);
      }
      requests.visibilities.flush();
      return;
    }
    const firsts = new Map<string, ReceivedMessage>();
    this.#held.take(messages.map((message) => this.#hold(message, requests, since, firsts)));
    if (this.#options.untilEmpty === true && messages.length === 0) this.#onEmpty();
  }

  /** @param firsts the first message of each group in this receive; this one is added. */
  #hold(
    received: HeldMessage,
    requests: LeaseRequests,
    since: number,
    firsts: Map<string, ReceivedMessage>,
  ): Held {
    // On a standard queue a group is a matter of fair shares, and has no order.
    const groupId = this.#keepsOrder ? received.Attributes?.MessageGroupId : undefined;
    let hasNotRun = false;
    if (groupId !== undefined) {
      const before = this.#held.headOf(groupId)?.received ?? firsts.get(groupId);
      // It can only have run when all that were before it in its group had left the queue.
      hasNotRun = before !== undefined && isBefore(before, received);
      if (before === undefined) firsts.set(groupId, received);
    }
    const held: Held = {
      received,
      groupId,
      counts: this.#settings.memory.countsOf(received, hasNotRun),
      lease: new Lease(received.ReceiptHandle ?? '', requests, since, () => this.#held.lose(held)),
      delivery: undefined,
      timer: undefined,
      dueAt: 0,
    };
    return held;
  }

  /** Nothing came: that is the end, unless a message that was held here kept the others of its group at the queue. */
  #onEmpty(): void {
    if (this.#keepsOrder && this.#heldWhenAsked > 0) return;
    this.#receives.stop();
    this.#end();
  }

  #handOver(delivery: SqsDelivery): void {
    this.#open.add(delivery);
    try {
      this.#receive(delivery);
    } catch (error) {
      this.#settings.logger.error('the receiver of a delivery threw', { queue: this.#settings.queue, error });
      delivery.retry({ delayMs: pauseAfterThrowMs, because: 'not-run' }).catch(() => undefined);
    }
  }

  #keep(): void {
    const now = performance.now();
    this.#looks = [this.#looks[1], now];
    this.#held.keep(now);
  }

  /** Deletes wait for others to share their request; when no delivery is open that could join, they need not. */
  #onDeleting(): void {
    if (this.#flushing !== undefined) return;
    // Not in this turn, in which a whole receive may be handed over and acknowledged one by one.
    this.#flushing = setImmediate(() => {
      this.#flushing = undefined;
      if (this.#open.size === 0) this.#requests?.deletes.flush();
    });
  }

  #onFailure(failures: number, error: unknown): void {
    const { queue, troubles } = this.#settings;
    if (failures === 0) {
      troubles.end(this.#trouble);
      return;
    }
    if (this.#isClosed) return;
    if (!isMissingQueue(error) && !MelangeError.is(error, 'QUEUE_NOT_FOUND')) {
      troubles.begin(this.#trouble, asMelangeError(error).message);
      return;
    }
    // A run that ends with an empty queue has come to its end when there is no queue.
    if (this.#options.untilEmpty === true) {
      this.#isClosed = true;
      this.#receives.stop();
      this.#fail(new QueueNotFoundError(queue, { cause: error }));
      return;
    }
    troubles.begin(this.#trouble, 'the queue does not exist; it is asked for until it is declared again');
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      const others = this.#onChange;
      this.#onChange = () => {
        this.#onChange = () => undefined;
        others();
        resolve();
      };
    });
  }
}
