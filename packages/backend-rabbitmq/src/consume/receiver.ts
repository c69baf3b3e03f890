import { reconnectDelayMs } from '@melange/backend-kit';
import {
  type Delivery,
  MelangeError,
  QueueNotFoundError,
  type SubscribeOptions,
  type Subscription,
} from '@melange/core';
import { Slots } from '@melange/core/adapter';
import type { Message as AmqpMessage } from 'amqplib';
import { asMelangeError, bounded, closeChannel, codeOf, isOwnFault, pause } from '../client/connection.ts';
import { type Received, receivedOf } from '../wire/received-message.ts';
import { Acknowledger } from './acknowledger.ts';
import { ChangeSignal } from './change-signal.ts';
import { RabbitMqDelivery } from './delivery.ts';
import type { ReceiverSettings, ReceiverSession as Session } from './receiver-session.ts';

/** A consumer on a channel of its own, which opens another when that one is lost, until it is closed. */
export class RabbitMqReceiver implements Subscription {
  readonly ended: Promise<void>;
  readonly #settings: ReceiverSettings;
  readonly #options: SubscribeOptions;
  readonly #receive: (delivery: Delivery) => void;
  #session: Session | undefined;
  /** Aborted when it is closed. */
  readonly #over = new AbortController();
  #closing: Promise<void> | undefined;
  #end: () => void = () => undefined;
  #fail: (error: unknown) => void = () => undefined;
  /** Tells whenever a delivery is settled or lost, or the receiver is closed. */
  readonly #changes = new ChangeSignal();
  #recovering = false;
  /** By the clock that never steps. */
  #openedAt = 0;
  /** What arrives before `handOver`; `undefined` from then on. */
  #early: { readonly session: Session; readonly received: Received }[] | undefined = [];

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
  }

  /**
   * Deliveries are kept back until `handOver`.
   *
   * @throws QueueNotFoundError, BrokerUnavailableError, MelangeError `CONFIGURATION` for a stream.
   */
  async start(): Promise<void> {
    await this.#open();
  }

  /** From now on deliveries are handed over: the subscriber knows of its subscription. */
  handOver(): void {
    const early = this.#early ?? [];
    this.#early = undefined;
    // Those whose channel was lost meanwhile come again.
    for (const { session, received } of early) if (!session.isLost) this.#onDelivery(session, received);
    if (this.#options.untilEmpty === true && this.#session !== undefined) void this.#fetchAll(this.#session);
  }

  close(): Promise<void> {
    this.#over.abort();
    this.#forgetTroubles();
    this.#changes.notify();
    this.#closing ??= this.#finish();
    return this.#closing;
  }

  /** Closes without waiting for unsettled deliveries: the broker delivers them again. */
  async abandon(): Promise<void> {
    this.#over.abort();
    this.#forgetTroubles();
    this.#end();
    const session = this.#session;
    if (session === undefined) return;
    const quiet = this.#stopIntake(session);
    this.#giveBackEarly();
    for (const delivery of session.unsettled.all()) delivery.lose();
    this.#changes.notify();
    await this.#leave(session, quiet);
  }

  async #finish(): Promise<void> {
    this.#end();
    const session = this.#session;
    if (session === undefined) return;
    const quiet = this.#stopIntake(session);
    this.#giveBackEarly();
    while (session.unsettled.size > 0) await this.#changes.next();
    await this.#leave(session, quiet);
  }

  #giveBackEarly(): void {
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const { session, received } of early) this.#onDelivery(session, received);
  }

  #forgetTroubles(): void {
    this.#settings.troubles.forget(this.#subject);
    this.#settings.copies.forgetTroubles();
  }

  get #subject(): string {
    return `receiving from queue "${this.#settings.queue}"`;
  }

  get #isClosed(): boolean {
    return this.#over.signal.aborted;
  }

  /** Resolves when nothing is delivered any more, or when the broker stays silent; what arrives until then is given back. */
  #stopIntake(session: Session): Promise<void> {
    const quiet = bounded(this.#quiet(session));
    session.acknowledger.drain(quiet);
    return quiet;
  }

  /** A quorum queue ends a consumer after all that was settled before; a round trip behind it, the channel knows. */
  async #quiet({ channel, isLost }: Session): Promise<void> {
    if (isLost) return;
    if (this.#options.untilEmpty !== true) await channel.cancel(consumerTag);
    await channel.checkQueue(this.#settings.queue);
  }

  /** Closes the channel a round trip behind everything that was settled on it. */
  async #leave({ channel, acknowledger }: Session, quiet: Promise<void>): Promise<void> {
    await quiet;
    acknowledger.flush();
    await closeChannel(channel);
  }

  async #open(): Promise<void> {
    const { queue, connection, topology } = this.#settings;
    const model = await connection.acquire();
    await topology.replayed;
    const countsDeliveries = await topology.countsDeliveries(queue);
    const channel = await model.createChannel().catch((error: unknown) => {
      throw asMelangeError(error);
    });
    const acknowledger = new Acknowledger(channel);
    const unsettled = new Slots<RabbitMqDelivery>();
    const onSettled = (delivery: RabbitMqDelivery): void => {
      unsettled.delete(delivery);
      this.#changes.notify();
    };
    const session: Session = { channel, acknowledger, unsettled, onSettled, isLost: false, countsDeliveries };
    let reason = 'the channel was closed';
    channel.on('error', (error: Error) => {
      reason = error.message;
    });
    channel.on('close', () => this.#onLost(session, reason));
    try {
      await channel.prefetch(this.#options.maxInFlight);
      if (this.#options.untilEmpty === true) await channel.checkQueue(queue);
      else {
        connection.inlet?.takeFrom(channel, (delivery) => this.#onDelivery(session, delivery));
        await channel.consume(queue, (message) => this.#onMessage(session, message), { consumerTag });
      }
    } catch (error) {
      session.isLost = true;
      await closeChannel(channel);
      if (codeOf(error) === 404) throw new QueueNotFoundError(queue, { cause: error });
      throw asMelangeError(error);
    }
    this.#session = session;
    this.#openedAt = performance.now();
    this.#settings.troubles.end(this.#subject);
    if (this.#options.untilEmpty === true && this.#early === undefined) void this.#fetchAll(session);
    if (session.isLost) this.#onLost(session, reason);
  }

  #onMessage(session: Session, message: AmqpMessage | null): void {
    if (message === null) {
      this.#settings.logger.debug('RabbitMQ cancelled the consumer', { queue: this.#settings.queue });
      session.acknowledger.flush();
      session.channel.close().catch(() => undefined);
      return;
    }
    this.#onDelivery(session, receivedOf(message, session.countsDeliveries));
  }

  #onDelivery(session: Session, received: Received): void {
    if (this.#isClosed) {
      this.#settings.givenBack.add(this.#settings.queue, received);
      session.acknowledger.giveBack(received.tag);
      return;
    }
    if (this.#early !== undefined) {
      this.#early.push({ session, received });
      return;
    }
    const { acknowledger, unsettled, onSettled } = session;
    const { copies, givenBack } = this.#settings;
    const delivery = new RabbitMqDelivery(received, acknowledger, copies, givenBack, onSettled);
    unsettled.add(delivery);
    if (!session.countsDeliveries && received.isRedelivered && delivery.redeliveries > 0) {
      // A classic queue tells that it was handed out before, and not how often: a copy carries the count.
      delivery.retry({ because: 'not-run' }).catch(() => undefined);
      return;
    }
    try {
      this.#receive(delivery);
    } catch (error) {
      this.#settings.logger.error('the receiver of a delivery threw', { queue: this.#settings.queue, error });
      // It keeps its place meanwhile: given back at once, a receiver that throws at every message would be called without end.
      setTimeout(() => delivery.release().catch(() => undefined), pauseAfterThrowMs).unref();
    }
  }

  /** Takes message by message until there is none: a consumer cannot tell that the queue is empty. */
  async #fetchAll(session: Session): Promise<void> {
    try {
      while (!this.#isClosed) {
        if (session.unsettled.size >= this.#options.maxInFlight) {
          await this.#changes.next();
          continue;
        }
        const message = await session.channel.get(this.#settings.queue);
        if (message === false) break;
        this.#onMessage(session, message);
      }
      this.#end();
    } catch {
      // The channel is lost: `#onLost` opens another, which goes on where this one stopped.
    }
  }

  #onLost(session: Session, reason: string): void {
    session.isLost = true;
    for (const delivery of session.unsettled.all()) delivery.lose();
    if (this.#isClosed || session !== this.#session) return;
    this.#settings.troubles.begin(this.#subject, reason);
    void this.#recover();
  }

  async #recover(): Promise<void> {
    if (this.#recovering) return;
    this.#recovering = true;
    const { queue, topology, troubles } = this.#settings;
    // Lost as soon as it was opened: something is wrong that opening it again does not mend.
    if (performance.now() - this.#openedAt < 1_000) await pause(1_000, this.#over.signal);
    for (let attempt = 1; !this.#isClosed; attempt += 1) {
      try {
        await this.#open();
        break;
      } catch (error) {
        if (MelangeError.is(error, 'CLOSED')) {
          // The backend was closed meanwhile: there is nothing to come back to.
          this.#over.abort();
          this.#end();
          break;
        }
        const isMissing = MelangeError.is(error, 'QUEUE_NOT_FOUND');
        // What is declared under its name may be of another type.
        if (isMissing) topology.forgetSettings(queue);
        // A run that ends with an empty queue has come to its end when there is no queue.
        if ((this.#options.untilEmpty === true && isMissing) || isOwnFault(error)) {
          this.#recovering = false;
          troubles.forget(this.#subject);
          this.#fail(error);
          return;
        }
        const reason = error instanceof Error ? error.message : String(error);
        troubles.begin(
          this.#subject,
          isMissing ? `queue "${queue}" does not exist; it is waited for` : reason,
        );
        await pause(reconnectDelayMs(attempt), this.#over.signal);
      }
    }
    this.#recovering = false;
    const session = this.#session;
    if (session === undefined) return;
    if (this.#isClosed) await closeChannel(session.channel);
    else if (session.isLost) this.#onLost(session, 'the channel was closed');
  }
}

/** Tags are unique within a channel, and each receiver has its own. */
const consumerTag = 'melange';

/** A message whose receiver threw goes back after so many ms. */
const pauseAfterThrowMs = 1_000;
