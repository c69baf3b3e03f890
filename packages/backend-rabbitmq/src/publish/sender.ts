import type { BatchAnswer, DriverContext, Outgoing } from '@melange/backend-kit';
import { MelangeError, QueueNotFoundError, TopicNotFoundError } from '@melange/core';
import { frameOutlet, hasChannelEnded, slowWriting } from '../client/amqplib-internals.ts';
import type { AmqpConnection, AmqpMessage, ConfirmChannel } from '../client/connection.ts';
import { MessageRefused, Unavailable } from '../errors.ts';
import type { OutgoingMessage } from '../wire/outgoing-message.ts';
import type { Target } from '../wire/publish-frames.ts';
import { Batch } from './batch.ts';
import { type Confirmation, Unconfirmed } from './unconfirmed.ts';
import { type PublishWriter, publishWriter } from './writer.ts';

/** One channel, and what is under way on it. */
interface Session {
  readonly channel: ConfirmChannel;
  readonly writer: PublishWriter;
  readonly unconfirmed: Unconfirmed<Batch>;
}

/**
 * Sends on one confirm channel, which is made again when it is lost. Invariants: batches are written in the order in which
 * they came, each message when the socket has room and the broker does not block publishers; what was not answered when a
 * channel was lost is written to the next one, in its order, before anything else.
 */
export class Sender {
  readonly #connection: AmqpConnection<never>;
  readonly #context: DriverContext;
  /** Batches of which something is to be written. */
  #line: Batch[] = [];
  #session: Session | undefined;
  #isOpening = false;
  /** Channels lost in a row without any confirmation. */
  #lostInARow = 0;

  constructor(connection: AmqpConnection<never>, context: DriverContext) {
    this.#connection = connection;
    this.#context = context;
  }

  /**
   * Resolves when the broker has answered each message.
   *
   * @param taken told of each message that the broker has taken, at once.
   * @throws Unavailable while the broker blocks publishers.
   */
  send(
    messages: readonly Outgoing<OutgoingMessage>[],
    targetOf: (outgoing: Outgoing<OutgoingMessage>) => Target,
    taken: (place: number) => void,
  ): Promise<BatchAnswer> {
    const { blockedBecause } = this.#connection;
    if (blockedBecause !== undefined)
      return Promise.reject(new Unavailable(`RabbitMQ blocks publishers: ${blockedBecause}`));
    const batch = new Batch(messages, targetOf, taken);
    this.#line.push(batch);
    this.flush();
    return batch.answer;
  }

  /** There is a connection again, or room. */
  flush(): void {
    const session = this.#session;
    if (session === undefined) {
      void this.#open();
      return;
    }
    while (this.#line.length > 0 && this.#canWrite(session)) {
      const batch = this.#line.shift() as Batch;
      batch.write((place, target, message) => this.#write(session, batch, place, target, message));
    }
  }

  #canWrite(session: Session): boolean {
    return (
      this.#session === session && !session.writer.isFull && this.#connection.blockedBecause === undefined
    );
  }

  /** False when the channel turned out to be lost, or there is no more room: the batch waits for the next one. */
  #write(session: Session, batch: Batch, place: number, target: Target, message: OutgoingMessage): boolean {
    const { writer, unconfirmed } = session;
    if (!this.#canWrite(session)) {
      if (this.#line[0] !== batch) this.#line.unshift(batch);
      return false;
    }
    try {
      writer.write(target, message);
      unconfirmed.add(batch, place);
    } catch (error) {
      if (error instanceof Error && error.name === 'IllegalOperationError') {
        // The channel closed in this very turn, or before anybody listened to it.
        this.#line.unshift(batch);
        this.#onLost(session, undefined);
        return false;
      }
      const text = `RabbitMQ cannot carry the message: ${String(error)}`;
      batch.settle(
        place,
        MelangeError.is(error) ? error : new MelangeError('MESSAGE_INVALID', text, { cause: error }),
      );
    }
    return true;
  }

  async #open(): Promise<void> {
    if (this.#isOpening || this.#line.length === 0) return;
    this.#isOpening = true;
    try {
      this.#watch(await this.#connection.confirmChannel());
    } catch (error) {
      // The kit sends them again, with pauses.
      for (const batch of this.#line.splice(0)) batch.write((place) => fail(batch, place, error));
    }
    this.#isOpening = false;
    if (this.#session !== undefined) this.flush();
  }

  #watch(channel: ConfirmChannel): void {
    const outlet = frameOutlet(channel);
    if (outlet === undefined && !hasChannelEnded(channel)) this.#context.troubles.note(slowWriting);
    const writer = publishWriter(channel, outlet, () => this.flush());
    const session: Session = { channel, writer, unconfirmed: new Unconfirmed() };
    let reason: Error | undefined;
    channel.on('ack', (confirmation: Confirmation) => this.#onConfirmed(session, confirmation));
    channel.on('nack', (confirmation: Confirmation) => {
      session.unconfirmed.take(confirmation, (batch, place) =>
        batch.settle(place, new MessageRefused(destinationOf(batch.targetOf(place)))),
      );
    });
    channel.on('return', (message: AmqpMessage) => onReturned(session, message));
    channel.on('error', (error: Error) => {
      this.#context.logger.warn('RabbitMQ closed the channel of the publisher', { reason: error.message });
      reason = error;
    });
    channel.on('close', () => this.#onLost(session, reason));
    this.#session = session;
  }

  #onConfirmed(session: Session, confirmation: Confirmation): void {
    this.#lostInARow = 0;
    session.unconfirmed.take(confirmation, (batch, place) => {
      if (!batch.isReturned(place)) {
        batch.settle(place);
        return;
      }
      const { exchange, routingKey } = batch.targetOf(place);
      batch.settle(
        place,
        exchange === '' ? new QueueNotFoundError(routingKey) : new TopicNotFoundError(exchange),
      );
    });
  }

  #onLost(session: Session, reason: Error | undefined): void {
    if (this.#session !== session) return;
    this.#session = undefined;
    session.writer.discard();
    this.#lostInARow += 1;
    const underWay = session.unconfirmed.all();
    const blame = blameOf(underWay, reason);
    const again = new Set<Batch>();
    for (const [batch, place] of underWay) {
      const error = blame(batch, place);
      if (error !== undefined) batch.settle(place, error);
      else if (this.#lostInARow > 1)
        // Nothing came of the last channel either: the kit sends it again, with growing pauses.
        batch.settle(place, new Unavailable(`the channel was lost: ${reason?.message ?? 'closed'}`));
      else {
        batch.writeAgain(place);
        again.add(batch);
      }
    }
    // A batch of which a part waits stands first in the line.
    this.#line = [...again, ...this.#line.filter((batch) => !again.has(batch))];
    if (this.#connection.isOpen) void this.#open();
  }
}

function fail(batch: Batch, place: number, error: unknown): true {
  batch.settle(place, error);
  return true;
}

/** The first message that is like the returned one, and was not returned before. */
function onReturned({ unconfirmed }: Session, { fields, properties }: AmqpMessage): void {
  for (const [batch, place] of unconfirmed.all()) {
    const { exchange, routingKey } = batch.targetOf(place);
    if (exchange !== fields.exchange || routingKey !== fields.routingKey) continue;
    if (batch.messageOf(place).messageId !== properties.messageId) continue;
    if (batch.markReturned(place)) return;
  }
}

/** How errors and health name where a message goes. */
function destinationOf({ exchange, routingKey }: Target): string {
  return exchange === '' ? `queue "${routingKey}"` : `topic "${exchange}"`;
}

/** Which messages made the broker close the channel: sent again, they would cost the next channel too. */
function blameOf(
  underWay: readonly (readonly [batch: Batch, place: number])[],
  reason: Error | undefined,
): (batch: Batch, place: number) => MelangeError | undefined {
  const message = reason?.message ?? '';
  const missing = /no exchange '(.*?)'/.exec(message)?.[1];
  const refused = /ACCESS_REFUSED - .*exchange '(.*?)'/.exec(message)?.[1]?.replace(/^amq\.default$/, '');
  // The broker does not say which one is too large: it is the largest.
  let largest: readonly [batch: Batch, place: number] | undefined;
  if (/larger than configured max size/.test(message))
    for (const one of underWay) if (largest === undefined || sizeOf(one) > sizeOf(largest)) largest = one;
  return (batch, place) => {
    const { exchange } = batch.targetOf(place);
    if (exchange === missing) return new TopicNotFoundError(exchange);
    if (exchange === refused) return new MelangeError('CONFIGURATION', message);
    if (largest?.[0] === batch && largest[1] === place) return new MelangeError('MESSAGE_TOO_LARGE', message);
    return undefined;
  };
}

function sizeOf([batch, place]: readonly [batch: Batch, place: number]): number {
  return batch.messageOf(place).content.length;
}
