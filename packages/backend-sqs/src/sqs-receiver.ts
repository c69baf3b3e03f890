import { ReceiveMessageCommand } from '@aws-sdk/client-sqs';
import {
  type DeadLetterOptions,
  type Delivery,
  type Logger,
  QueueNotFoundError,
  type SubscribeOptions,
  type Subscription,
} from '@melange/core';
import type { AwsClients } from './aws-clients.ts';
import { GroupLanes } from './group-lanes.ts';
import { Lease, type LeaseRequests } from './lease.ts';
import { type HeldMessage, Receives } from './receives.ts';
import { type DeliveryContext, SqsDelivery } from './sqs-delivery.ts';
import { asMelangeError, isMissingQueue, reasonOf } from './sqs-errors.ts';
import type { ReceivedMessage } from './sqs-message-mapper.ts';
import { isFifo, type SqsTopology } from './sqs-topology.ts';

/** What a receiver needs of its backend. */
export interface ReceiverSettings {
  readonly queue: string;
  readonly clients: AwsClients;
  readonly topology: SqsTopology;
  readonly logger: Logger;
  readonly waitTimeSeconds: number;
  readonly emptyAfterSeconds: number;
  readonly maxReceives: number | undefined;
  requestsOf(url: string): LeaseRequests;
  deadLetter(received: ReceivedMessage, options: DeadLetterOptions): Promise<void>;
  assertDeadLetterQueue(): Promise<void>;
}

/** Longest wait at the close for what is unsettled to go back, in ms; after that it comes back by itself. */
const closeWithinMs = 3_000;

/** One subscription: receives, keeps what it received visible to nobody else, and hands it over. */
export class SqsReceiver implements Subscription {
  readonly ended: Promise<void>;
  readonly #settings: ReceiverSettings;
  readonly #options: SubscribeOptions;
  readonly #receive: (delivery: Delivery) => void;
  readonly #receives: Receives;
  readonly #context: DeliveryContext;
  readonly #held = new Set<SqsDelivery>();
  readonly #lanes = new GroupLanes<SqsDelivery>();
  #requests: LeaseRequests | undefined;
  #keeping: NodeJS.Timeout | undefined;
  #isClosed = false;
  /** How many were held when the last receive was asked for. */
  #heldWhenAsked = 0;
  #flushing: NodeJS.Immediate | undefined;
  /** Those that nobody settles yet. */
  readonly #open = new Set<SqsDelivery>();
  #closing: Promise<void> | undefined;
  #givingBack: Promise<unknown> = Promise.resolve();
  #end: () => void = () => undefined;
  #fail: (error: unknown) => void = () => undefined;
  #onChange: () => void = () => undefined;

  constructor(settings: ReceiverSettings, options: SubscribeOptions, receive: (delivery: Delivery) => void) {
    this.#settings = settings;
    this.#options = options;
    this.#receive = receive;
    this.ended = new Promise((resolve, reject) => {
      this.#end = resolve;
      this.#fail = reject;
    });
    // Whoever waits for it hears of a failure; nobody has to.
    this.ended.catch(() => undefined);
    const { maxInFlight, untilEmpty = false } = options;
    this.#receives = new Receives({
      receive: (count, waitSeconds) => this.#request(count, waitSeconds),
      room: () => maxInFlight - this.#held.size,
      maxInFlight,
      maxReceives: untilEmpty ? 1 : (settings.maxReceives ?? Math.min(10, Math.ceil(maxInFlight / 10))),
      waitSeconds: untilEmpty ? settings.emptyAfterSeconds : settings.waitTimeSeconds,
      onMessages: (messages) => this.#onMessages(messages),
      onFailure: (failures, error) => this.#onFailure(failures, error),
    });
    this.#context = {
      keepsOrder: isFifo(settings.queue),
      deadLetter: (received, why) => settings.deadLetter(received, why),
      assertDeadLetterQueue: () => settings.assertDeadLetterQueue(),
      onGoingBack: (delivery) => this.#giveBack(this.#lanes.takeFollowers(delivery)),
      onSettling: (delivery) => this.#open.delete(delivery),
      onDeleting: () => this.#onDeleting(),
      onOver: (delivery, isDone) => this.#onOver(delivery, isDone),
    };
  }

  /** Why nothing is received at the moment, if so. */
  get stalledBecause(): string | undefined {
    return this.#receives.stalledBecause;
  }

  /** @throws QueueNotFoundError, BrokerUnavailableError. */
  async start(): Promise<void> {
    const { url } = await this.#settings.topology.detailsOf(this.#settings.queue);
    this.#requests = this.#settings.requestsOf(url);
    const everyMs = Math.max(100, (this.#requests.visibilityTimeoutSeconds * 1_000) / 10);
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
    const givenBack = [...this.#held].map(async (delivery) => {
      delivery.lose('shutdown');
      await delivery.lease.giveBack(0);
    });
    this.#requests?.deletes.flush();
    this.#requests?.visibilities.flush();
    const settled = (async () => {
      await Promise.allSettled(givenBack);
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

  #stop(): void {
    this.#isClosed = true;
    this.#receives.stop();
    this.#end();
  }

  async #finish(): Promise<void> {
    await this.#giveBack(this.#lanes.takeWaiting());
    while (this.#held.size > 0) await this.#change();
    clearInterval(this.#keeping);
  }

  async #request(count: number, waitSeconds: number): Promise<readonly HeldMessage[]> {
    const { queue, topology, clients } = this.#settings;
    const url = await topology.urlOf(queue);
    this.#heldWhenAsked = this.#held.size;
    const command = new ReceiveMessageCommand({
      QueueUrl: url,
      MaxNumberOfMessages: count,
      WaitTimeSeconds: waitSeconds,
      VisibilityTimeout: this.#requests?.visibilityTimeoutSeconds,
      MessageAttributeNames: ['All'],
      MessageSystemAttributeNames: ['ApproximateReceiveCount', 'MessageGroupId'],
    });
    const controller = new AbortController();
    const timer = setTimeout(() => controller.abort(), waitSeconds * 1_000 + clients.requestTimeoutMs);
    // It outlives the backend when it is closed, and must not keep the process for that.
    timer.unref();
    try {
      const { Messages = [] } = await clients.receiving.send(clients.abortable(command, controller.signal));
      return Messages;
    } catch (error) {
      if (isMissingQueue(error)) topology.forget(queue);
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  #onMessages(messages: readonly HeldMessage[]): void {
    const requests = this.#requests;
    if (requests === undefined) return;
    if (this.#isClosed) {
      // Last one first: that is how a FIFO queue gets its order back.
      for (const { ReceiptHandle = '' } of [...messages].reverse())
        new Lease(ReceiptHandle, requests, () => undefined).giveBack(0).catch(() => undefined);
      requests.visibilities.flush();
      return;
    }
    for (const message of messages) {
      const delivery = new SqsDelivery(
        message,
        this.#context,
        (onLost) => new Lease(message.ReceiptHandle ?? '', requests, onLost),
      );
      this.#held.add(delivery);
      if (this.#lanes.enter(delivery)) this.#handOver(delivery);
    }
    if (this.#options.untilEmpty === true && messages.length === 0) this.#onEmpty();
  }

  /** Nothing came: that is the end, unless a message that was held here kept the others of its group at the queue. */
  #onEmpty(): void {
    if (this.#context.keepsOrder && this.#heldWhenAsked > 0) return;
    this.#receives.stop();
    this.#end();
  }

  #handOver(delivery: SqsDelivery): void {
    if (this.#isClosed) {
      delivery.release().catch(() => undefined);
      return;
    }
    this.#open.add(delivery);
    try {
      this.#receive(delivery);
    } catch (error) {
      this.#settings.logger.error('the receiver of a delivery threw', { queue: this.#settings.queue, error });
      delivery.release().catch(() => undefined);
    }
  }

  #onOver(delivery: SqsDelivery, isDone: boolean): void {
    this.#held.delete(delivery);
    // Its group goes on at the queue, with the message that comes again.
    if (!isDone) void this.#giveBack(this.#lanes.takeFollowers(delivery));
    const next = this.#lanes.leave(delivery);
    if (next !== undefined) this.#handOver(next);
    this.#receives.fill();
    this.#onChange();
  }

  /** Gives back what nobody was handed; resolves when that is done, what went before it included. */
  async #giveBack(deliveries: readonly SqsDelivery[]): Promise<void> {
    const givenBack = [...deliveries].reverse().map((delivery) => {
      delivery.lose('shutdown');
      return delivery.lease.giveBack(0);
    });
    this.#givingBack = Promise.allSettled([this.#givingBack, ...givenBack]);
    await this.#givingBack;
  }

  #keep(): void {
    const now = Date.now();
    for (const { lease } of [...this.#held]) lease.keep(now);
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
    const { queue, logger } = this.#settings;
    if (failures === 0) {
      logger.info('receiving again', { queue });
      return;
    }
    // A run that ends with an empty queue has come to its end when there is no queue.
    if (this.#options.untilEmpty === true && isMissingQueue(error)) {
      this.#isClosed = true;
      this.#receives.stop();
      this.#fail(new QueueNotFoundError(queue, { cause: error }));
      return;
    }
    if (failures === 1) logger.warn('stopped receiving', { queue, reason: asMelangeError(error).message });
    else logger.debug('cannot receive yet', { queue, reason: reasonOf(error) });
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
