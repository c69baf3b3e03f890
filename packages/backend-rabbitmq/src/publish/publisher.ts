import { reconnectDelayMs, type Troubles } from '@melange/backend-kit';
import { type Logger, MelangeError, QueueNotFoundError, TopicNotFoundError } from '@melange/core';
import { Slots, type Slotted } from '@melange/core/adapter';
import type { Message as AmqpMessage, ConfirmChannel } from 'amqplib';
import { isOwnFault, pause, type RabbitMqConnection } from '../client/connection.ts';
import type { OutgoingMessage } from '../wire/outgoing-message.ts';
import type { Target } from '../wire/publish-frames.ts';
import type { PublishCall } from './publish-calls.ts';
import { destinationOf, Refusals, refusedText } from './refusals.ts';
import { type Confirmation, Unconfirmed } from './unconfirmed.ts';
import { WaitingLine } from './waiting-line.ts';
import { type PublishWriter, publishWriter } from './writer.ts';

interface Pending extends Slotted {
  readonly target: Target;
  readonly message: OutgoingMessage;
  readonly timeoutMs: number;
  /** By the clock that never steps. */
  readonly deadline: number;
  readonly call: PublishCall;
  isReturned: boolean;
  /** Whether the broker refused it at least once. */
  isRefused: boolean;
}

/** One channel, and what is under way on it. */
interface Session {
  readonly channel: ConfirmChannel;
  readonly writer: PublishWriter;
  readonly unconfirmed: Unconfirmed<Pending>;
}

const sweepEveryMs = 100;
const pauseAfterNackMs = 100;

/**
 * Publishes on one confirm channel of its own connection. A message stays here until the broker confirmed it;
 * what was under way when the channel was lost is sent again, with the same id, until its deadline.
 */
export class RabbitMqPublisher {
  readonly #connection: RabbitMqConnection;
  readonly #logger: Logger;
  readonly #refusals: Refusals;
  readonly #pending = new Slots<Pending>();
  readonly #waiting = new WaitingLine<Pending>();
  /** No pending message has an earlier deadline. */
  #firstDeadline = Number.POSITIVE_INFINITY;
  #session: Session | undefined;
  #isOpening = false;
  /** Channels lost in a row without any confirmation: after the first one they are opened ever more slowly. */
  #lostInARow = 0;
  #sweep: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(connection: RabbitMqConnection, logger: Logger, troubles: Troubles) {
    this.#connection = connection;
    this.#logger = logger;
    this.#refusals = new Refusals(troubles);
    connection.onUnblocked = () => this.#flush();
  }

  /**
   * Tells the call when the broker has taken the message, or why not: QueueNotFoundError, TopicNotFoundError, and after
   * `timeoutMs` MelangeError `QUEUE_FULL` if the broker refused it, else `PUBLISH_TIMEOUT`.
   */
  publish(target: Target, message: OutgoingMessage, timeoutMs: number, call: PublishCall): void {
    if (this.#isClosed) {
      call.onSettled(message, closedError());
      return;
    }
    const deadline = performance.now() + timeoutMs;
    const pending: Pending = {
      slot: -1,
      target,
      message,
      timeoutMs,
      deadline,
      call,
      isReturned: false,
      isRefused: false,
    };
    this.#pending.add(pending);
    if (deadline < this.#firstDeadline) this.#firstDeadline = deadline;
    this.#sweep ??= setInterval(() => this.#expire(), sweepEveryMs);
    const session = this.#session;
    if (session !== undefined && this.#waiting.size === 0 && this.#canSend(session)) {
      this.#send(session, pending);
      return;
    }
    this.#waiting.add(pending);
    this.#flush();
  }

  /** As `publish`, for a single message; rejects with what became of it. */
  confirmed(target: Target, message: OutgoingMessage, timeoutMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const onSettled = (_: unknown, error?: unknown): void =>
        error === undefined ? resolve() : reject(error);
      this.publish(target, message, timeoutMs, { onSettled });
    });
  }

  #canSend({ writer }: Session): boolean {
    return !writer.isFull && this.#connection.blockedBecause === undefined;
  }

  /** Waits for what is under way, up to its deadlines. */
  async close(): Promise<void> {
    this.#isClosed = true;
    while (this.#pending.size > 0) await pause(10);
    clearInterval(this.#sweep);
  }

  #flush(): void {
    const session = this.#session;
    if (session === undefined) {
      void this.#open();
      return;
    }
    if (!this.#canSend(session)) return;
    for (let pending = this.#waiting.first(); pending !== undefined; pending = this.#waiting.first()) {
      if (this.#session !== session || session.writer.isFull) return;
      this.#waiting.shift();
      if (this.#pending.has(pending)) this.#send(session, pending);
    }
  }

  #send(session: Session, pending: Pending): void {
    pending.isReturned = false;
    try {
      session.writer.write(pending.target, pending.message);
      session.unconfirmed.add(pending);
    } catch (error) {
      if (error instanceof Error && error.name === 'IllegalOperationError') {
        // The channel closed in this very turn, or before anybody listened to it.
        this.#waiting.addFirst([pending]);
        this.#onLost(session);
        return;
      }
      const text = `RabbitMQ cannot carry the message: ${String(error)}`;
      const invalid = new MelangeError('MESSAGE_INVALID', text, { cause: error });
      this.#settle(pending, MelangeError.is(error) ? error : invalid);
    }
  }

  #onConfirmed(session: Session, confirmation: Confirmation): void {
    if (this.#session !== session) return;
    this.#lostInARow = 0;
    for (const pending of session.unconfirmed.take(confirmation)) {
      const { target, isReturned } = pending;
      const missing = isReturned ? new QueueNotFoundError(target.routingKey || target.exchange) : undefined;
      if (missing === undefined) this.#refusals.end(target);
      this.#settle(pending, missing);
    }
  }

  /** Refused by the broker, which may take it later: a full queue, a node going down. */
  #onRefused(session: Session, confirmation: Confirmation): void {
    if (this.#session !== session) return;
    const refused = session.unconfirmed.take(confirmation);
    for (const pending of refused) {
      pending.isRefused = true;
      this.#refusals.begin(pending.target);
    }
    setTimeout(() => {
      for (const pending of refused) this.#waiting.add(pending);
      this.#flush();
    }, pauseAfterNackMs);
  }

  /** What refused messages, and is not published to any more, is no trouble of anybody's. */
  forgetOldRefusals(): void {
    this.#refusals.forgetOld();
  }

  #settle(pending: Pending, error?: unknown): void {
    if (!this.#pending.delete(pending)) return;
    pending.call.onSettled(pending.message, error);
    if (this.#pending.size > 0) return;
    clearInterval(this.#sweep);
    this.#sweep = undefined;
  }

  async #open(): Promise<void> {
    if (this.#isOpening) return;
    this.#isOpening = true;
    for (let attempt = 1; this.#pending.size > 0; attempt += 1) {
      try {
        if (this.#lostInARow > 1) await pause(reconnectDelayMs(this.#lostInARow - 1));
        const model = await this.#connection.acquire();
        const channel = await model.createConfirmChannel();
        this.#session = this.#watch(channel);
        break;
      } catch (error) {
        // A fault of ours is not an outage, which would pass.
        if (MelangeError.is(error, 'CLOSED') || isOwnFault(error)) {
          for (const pending of this.#pending.all()) this.#settle(pending, error);
          break;
        }
        await pause(reconnectDelayMs(attempt));
      }
    }
    this.#isOpening = false;
    if (this.#session !== undefined) this.#flush();
  }

  #watch(channel: ConfirmChannel): Session {
    const writer = publishWriter(channel, () => this.#flush());
    const session: Session = { channel, writer, unconfirmed: new Unconfirmed() };
    channel.on('ack', (confirmation: Confirmation) => this.#onConfirmed(session, confirmation));
    channel.on('nack', (confirmation: Confirmation) => this.#onRefused(session, confirmation));
    channel.on('error', (error: Error) => {
      this.#logger.warn('RabbitMQ closed the channel of the publisher', { reason: error.message });
      this.#blame(this.#underWay(session), error);
    });
    channel.on('close', () => this.#onLost(session));
    channel.on('return', ({ fields, properties }: AmqpMessage) => {
      const { exchange, routingKey } = fields;
      for (const pending of session.unconfirmed.all()) {
        const { target, message, isReturned } = pending;
        if (isReturned || target.exchange !== exchange) continue;
        if (target.routingKey !== routingKey || message.messageId !== properties.messageId) continue;
        pending.isReturned = true;
        return;
      }
    });
    return session;
  }

  /** What is under way on that channel and still waited for, in its order. */
  #underWay({ unconfirmed }: Session): Pending[] {
    return unconfirmed.all().filter((pending) => this.#pending.has(pending));
  }

  /** Fails what made the broker close the channel: sent again, it would cost the next channel too. */
  #blame(underWay: readonly Pending[], error: Error): void {
    const missing = /no exchange '(.*?)'/.exec(error.message)?.[1];
    const refused = /ACCESS_REFUSED - .*exchange '(.*?)'/
      .exec(error.message)?.[1]
      ?.replace(/^amq\.default$/, '');
    for (const pending of underWay) {
      const { exchange } = pending.target;
      if (exchange === missing) this.#settle(pending, new TopicNotFoundError(missing));
      if (exchange === refused) this.#settle(pending, new MelangeError('CONFIGURATION', error.message));
    }
    if (/larger than configured max size/.test(error.message) && underWay.length > 0) {
      // The broker does not say which one: it is the largest.
      const largest = underWay.reduce((left, right) =>
        right.message.content.length > left.message.content.length ? right : left,
      );
      this.#settle(largest, new MelangeError('MESSAGE_TOO_LARGE', error.message));
    }
  }

  #onLost(session: Session): void {
    if (this.#session !== session) return;
    this.#session = undefined;
    session.writer.discard();
    this.#lostInARow += 1;
    this.#waiting.addFirst(this.#underWay(session));
    if (this.#pending.size > 0) void this.#open();
  }

  #expire(): void {
    const now = performance.now();
    if (now < this.#firstDeadline) return;
    const { blockedBecause, lostBecause } = this.#connection;
    const why = blockedBecause === undefined ? lostBecause : `RabbitMQ blocks publishers: ${blockedBecause}`;
    let first = Number.POSITIVE_INFINITY;
    for (const pending of this.#pending.all()) {
      if (pending.deadline > now) first = Math.min(first, pending.deadline);
      else this.#settle(pending, lateError(pending, why));
    }
    this.#firstDeadline = first;
    // During an outage nothing else takes them out, and each holds its content.
    this.#waiting.keep((pending) => this.#pending.has(pending));
  }
}

function lateError({ timeoutMs, isRefused, target }: Pending, why: string | undefined): MelangeError {
  if (isRefused && why === undefined) {
    const text = `RabbitMQ refused the message for ${timeoutMs} ms, on its way to ${destinationOf(target)}: ${refusedText}. Consume from the queue, or raise its limit.`;
    return new MelangeError('QUEUE_FULL', text);
  }
  return new MelangeError(
    'PUBLISH_TIMEOUT',
    `No confirmation within ${timeoutMs} ms${why === undefined ? '' : ` (${why})`}.`,
  );
}

function closedError(): MelangeError {
  return new MelangeError('CLOSED', 'The RabbitMQ backend is closed.');
}
