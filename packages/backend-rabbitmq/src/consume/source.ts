import type { Again, BatchAnswer, DriverContext, Intake, PushSource } from '@melange/backend-kit';
import { MelangeError, type Message } from '@melange/core';
import { propertiesPayload } from '../client/amqplib-internals.ts';
import { type AmqpMessage, bounded, type Channel, closeChannel } from '../client/connection.ts';
import { textOf, Unavailable } from '../errors.ts';
import type { Channels } from '../topology/channels.ts';
import { deadLetterExchange } from '../topology/names.ts';
import { type DeliveredMessage, type Received, receivedOf } from '../wire/received-message.ts';
import { Acknowledger } from './acknowledger.ts';
import type { Copies } from './copies.ts';
import type { GivenBack } from './given-back.ts';

/** A message whose copy could not be made goes back to its queue after so many ms, so that it does not spin. */
const pauseAfterFailureMs = 1_000;
/** Tags are unique within a channel, and each source has its own. */
const consumerTag = 'melange';

/** What a source needs. */
export interface SourceSettings {
  readonly queue: string;
  readonly maxInFlight: number;
  readonly untilEmpty: boolean;
  readonly channel: Channel;
  /** Whether the queue counts its deliveries, as a quorum queue does. */
  readonly countsDeliveries: boolean;
  readonly copies: Copies;
  readonly channels: Channels;
  readonly givenBack: GivenBack;
  readonly context: DriverContext;
}

/** AMQP 0-9-1 counts the messages of a prefetch in 16 bits. */
const maxPrefetch = 65_535;

/** A consumer on a channel of its own; or, until the queue is empty, asking for message by message: a consumer cannot tell that. */
export class Source implements PushSource<Received> {
  readonly #settings: SourceSettings;
  readonly #intake: Intake<Received>;
  readonly #acknowledger: Acknowledger;
  /** Copies under way of messages that nobody was handed. */
  readonly #copying = new Set<Promise<void>>();
  /** Messages that are not settled yet. */
  #unsettled = 0;
  #quiet: Promise<void> | undefined;
  #isLost = false;
  /** Tells that something was settled, or that it stopped. */
  #onChange: () => void = () => undefined;

  constructor(settings: SourceSettings, intake: Intake<Received>) {
    this.#settings = settings;
    this.#intake = intake;
    this.#acknowledger = new Acknowledger(settings.channel, settings.context.clock);
  }

  /** Begins to receive. Rejects with what the broker says. */
  async start(takeFrom: ((take: (received: Received) => void) => void) | undefined): Promise<void> {
    const { queue, maxInFlight, untilEmpty, channel } = this.#settings;
    let reason = 'the channel was closed';
    channel.on('error', (error: Error) => {
      reason = textOf(error);
    });
    channel.on('close', () => {
      this.#isLost = true;
      this.#onChange();
      this.#intake.lost(new Unavailable(reason));
    });
    if (untilEmpty) {
      await channel.checkQueue(queue);
      void this.#fetchAll();
      return;
    }
    await channel.prefetch(Math.min(maxInFlight, maxPrefetch));
    takeFrom?.((received) => this.#onReceived(received));
    await channel.consume(queue, (message) => this.#onMessage(message), { consumerTag });
  }

  acknowledge(batch: readonly Received[]): BatchAnswer {
    for (const received of batch) void this.finish(received);
    return undefined;
  }

  finish(received: Received): Promise<void> {
    this.#settings.givenBack.forget(this.#settings.queue, received);
    this.#settled();
    return this.#acknowledger.acknowledge(received.tag);
  }

  async retry(received: Received, again: Again): Promise<void> {
    await this.#settings.copies.retry(received, again);
    await this.finish(received);
  }

  async deadLetter(received: Received, deadLetterQueue: string, copy: Message): Promise<void> {
    const { copies, queue, givenBack } = this.#settings;
    try {
      await copies.deadLetter(received, copy);
    } catch (error) {
      if (!MelangeError.is(error, 'MESSAGE_TOO_LARGE') || !(await this.#canReject(deadLetterQueue)))
        throw error;
      // The broker holds a message that it would not take from us: it dead-letters it itself, whole but without the reason.
      givenBack.forget(queue, received);
      this.#acknowledger.reject(received.tag);
      this.#settled();
      return;
    }
    await this.finish(received);
  }

  asDelivered(received: Received): Message {
    return received.original().message;
  }

  release(batch: readonly Received[]): void {
    const { queue, givenBack } = this.#settings;
    for (const received of batch) {
      givenBack.add(queue, received);
      this.#acknowledger.giveBack(received.tag);
      this.#settled();
    }
  }

  stop(): void {
    if (this.#quiet !== undefined) return;
    this.#quiet = bounded(this.#end());
    this.#acknowledger.drain(this.#quiet);
    this.#onChange();
  }

  /** Closes the channel a round trip behind everything that was settled on it. */
  async close(): Promise<void> {
    this.stop();
    await Promise.all(this.#copying);
    await this.#quiet;
    this.#acknowledger.flush();
    await closeChannel(this.#settings.channel);
  }

  /** A quorum queue ends a consumer after all that was settled before; a round trip behind it, the channel knows. */
  async #end(): Promise<void> {
    const { channel, queue, untilEmpty } = this.#settings;
    if (this.#isLost) return;
    if (!untilEmpty) await channel.cancel(consumerTag);
    await channel.checkQueue(queue);
  }

  #onMessage(message: AmqpMessage | null): void {
    if (message !== null) {
      this.#onReceived(this.#read(message));
      return;
    }
    const { context, queue, channel } = this.#settings;
    context.logger.debug('RabbitMQ cancelled the consumer', { queue });
    this.#acknowledger.flush();
    channel.close().catch(() => undefined);
  }

  #read(message: AmqpMessage): Received {
    const payload = propertiesPayload(message.properties);
    return receivedOf(message as unknown as DeliveredMessage, this.#settings.countsDeliveries, payload);
  }

  #onReceived(received: Received): void {
    const { queue, givenBack, countsDeliveries } = this.#settings;
    this.#unsettled += 1;
    received.redeliveries = givenBack.redeliveriesOf(queue, received);
    const isKnownAgain = received.isRedelivered && received.redeliveries > 0;
    if (countsDeliveries || !isKnownAgain || this.#quiet !== undefined) this.#intake.deliver(received);
    else this.#copyBehind(received);
  }

  /** A classic queue tells that it handed a message out before, and not how often: a copy, behind the others, carries the count. */
  #copyBehind(received: Received): void {
    const { attempt, redeliveries } = received;
    const copying = this.retry(received, { attempt, redeliveries, delayMs: 0 }).catch(async () => {
      await new Promise<void>((resolve) => {
        this.#settings.context.clock.schedule(resolve, pauseAfterFailureMs);
      });
      this.release([received]);
    });
    this.#copying.add(copying);
    void copying.then(() => this.#copying.delete(copying));
  }

  async #fetchAll(): Promise<void> {
    const { channel, queue, maxInFlight } = this.#settings;
    try {
      while (this.#quiet === undefined) {
        if (this.#unsettled >= maxInFlight) {
          await new Promise<void>((resolve) => {
            this.#onChange = resolve;
          });
          continue;
        }
        const message = await channel.get(queue);
        if (message === false) {
          this.#intake.empty();
          return;
        }
        this.#onReceived(this.#read(message));
      }
    } catch {
      // The channel is lost, as its event tells: the kit opens another source, which goes on where this one stopped.
    }
  }

  #settled(): void {
    this.#unsettled -= 1;
    this.#onChange();
  }

  /** Whether the broker would dead-letter what is rejected, and not drop it. */
  async #canReject(deadLetterQueue: string): Promise<boolean> {
    const { channels, queue } = this.#settings;
    const asked = [channels.queueExists(deadLetterQueue), channels.exchangeExists(deadLetterExchange(queue))];
    const found = await Promise.all(asked).catch(() => [false]);
    return found.every((exists) => exists);
  }
}
