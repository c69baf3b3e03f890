import {
  type Logger,
  MelangeError,
  QueueNotFoundError,
  Slots,
  type Slotted,
  TopicNotFoundError,
} from '@melange/core';
import type { Message as AmqpMessage, ConfirmChannel } from 'amqplib';
import { pause, type RabbitMqConnection, reconnectDelayMs } from './rabbitmq-connection.ts';
import type { OutgoingMessage } from './rabbitmq-message-mapper.ts';
import { reusedHeaders } from './reused-headers.ts';

/** Where a message goes: to a queue through the default exchange, or to an exchange. */
export interface Target {
  readonly exchange: string;
  readonly routingKey: string;
  /** Whether arriving in no queue is an error. */
  readonly mandatory: boolean;
}

interface Pending extends Slotted {
  /** Counts up: what is sent again goes in the order of its first time. */
  readonly order: number;
  readonly target: Target;
  readonly message: OutgoingMessage;
  readonly timeoutMs: number;
  readonly deadline: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
  /** The channel that it was sent on last; an answer of another one is not its answer. */
  sentOn: ConfirmChannel | undefined;
  isReturned: boolean;
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
  readonly #pending = new Slots<Pending>();
  #waiting: Pending[] = [];
  #published = 0;
  #channel: ConfirmChannel | undefined;
  #isOpening = false;
  #isFull = false;
  /** Channels lost in a row without any confirmation: after the first one they are opened ever more slowly. */
  #lostInARow = 0;
  #sweep: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(connection: RabbitMqConnection, logger: Logger) {
    this.#connection = connection;
    this.#logger = logger;
    connection.onUnblocked = () => this.#flush();
  }

  /**
   * Resolves when the broker has taken the message.
   *
   * @throws QueueNotFoundError, TopicNotFoundError, and MelangeError `PUBLISH_TIMEOUT` after `timeoutMs`.
   */
  publish(target: Target, message: OutgoingMessage, timeoutMs: number): Promise<void> {
    if (this.#isClosed) return Promise.reject(closedError());
    return new Promise((resolve, reject) => {
      const deadline = Date.now() + timeoutMs;
      this.#published += 1;
      const pending: Pending = {
        slot: -1,
        order: this.#published,
        target,
        message,
        timeoutMs,
        deadline,
        resolve,
        reject,
        sentOn: undefined,
        isReturned: false,
      };
      this.#pending.add(pending);
      this.#sweep ??= setInterval(() => this.#expire(), sweepEveryMs);
      if (this.#channel !== undefined && this.#waiting.length === 0 && this.#canSend) {
        this.#send(this.#channel, pending);
        return;
      }
      this.#waiting.push(pending);
      this.#flush();
    });
  }

  get #canSend(): boolean {
    return !this.#isFull && this.#connection.blockedBecause === undefined;
  }

  /** What is under way on that channel, in its order. */
  #sentOn(channel: ConfirmChannel): Pending[] {
    const sent = this.#pending.all().filter(({ sentOn }) => sentOn === channel);
    return sent.sort((left, right) => left.order - right.order);
  }

  /** Waits for what is under way, up to its deadlines. */
  async close(): Promise<void> {
    this.#isClosed = true;
    while (this.#pending.size > 0) await pause(10);
    clearInterval(this.#sweep);
  }

  #flush(): void {
    if (this.#channel === undefined) {
      void this.#open();
      return;
    }
    if (!this.#canSend) return;
    const batch = this.#waiting;
    this.#waiting = [];
    for (let index = 0; index < batch.length; index += 1) {
      if (this.#channel === undefined || this.#isFull) {
        this.#waiting.push(...batch.slice(index));
        break;
      }
      const pending = batch[index] as Pending;
      if (this.#pending.has(pending)) this.#send(this.#channel, pending);
    }
  }

  #send(channel: ConfirmChannel, pending: Pending): void {
    const { target, message } = pending;
    pending.sentOn = channel;
    pending.isReturned = false;
    try {
      const { options } = message;
      const sent = { ...options, headers: reusedHeaders(options.headers), mandatory: target.mandatory };
      const hasRoom = channel.publish(target.exchange, target.routingKey, message.content, sent, (error) =>
        this.#onConfirm(channel, pending, error),
      );
      if (!hasRoom) this.#isFull = true;
    } catch (error) {
      if (error instanceof Error && error.name === 'IllegalOperationError') {
        // The channel closed in this very turn, or before anybody listened to it.
        this.#onLost(channel);
        return;
      }
      this.#settle(
        pending,
        new MelangeError('MESSAGE_INVALID', `RabbitMQ cannot carry the message: ${String(error)}`, {
          cause: error,
        }),
      );
    }
  }

  #onConfirm(channel: ConfirmChannel, pending: Pending, error: unknown): void {
    if (pending.sentOn !== channel || !this.#pending.has(pending) || this.#channel !== channel) return;
    if (error !== null && error !== undefined) {
      // Refused by the broker, which may take it later: a full queue, a node going down. Any other error tells
      // that the channel closes, and its close event sends everything again, in order.
      if (error instanceof Error && error.message === 'message nacked') this.#sendLater(pending);
      return;
    }
    this.#lostInARow = 0;
    if (pending.isReturned)
      this.#settle(pending, new QueueNotFoundError(pending.target.routingKey || pending.target.exchange));
    else this.#settle(pending);
  }

  #sendLater(pending: Pending): void {
    pending.sentOn = undefined;
    setTimeout(() => {
      this.#waiting.push(pending);
      this.#flush();
    }, pauseAfterNackMs);
  }

  #settle(pending: Pending, error?: unknown): void {
    if (!this.#pending.delete(pending)) return;
    if (error === undefined) pending.resolve();
    else pending.reject(error);
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
        this.#watch(channel);
        this.#channel = channel;
        this.#isFull = false;
        break;
      } catch (error) {
        if (MelangeError.is(error, 'CLOSED')) {
          for (const pending of this.#pending.all()) this.#settle(pending, error);
          break;
        }
        await pause(reconnectDelayMs(attempt));
      }
    }
    this.#isOpening = false;
    if (this.#channel !== undefined) this.#flush();
  }

  #watch(channel: ConfirmChannel): void {
    channel.on('error', (error: Error) => {
      this.#logger.warn('RabbitMQ closed the channel of the publisher', { reason: error.message });
      this.#blame(this.#sentOn(channel), error);
    });
    channel.on('close', () => this.#onLost(channel));
    channel.on('drain', () => {
      this.#isFull = false;
      this.#flush();
    });
    channel.on('return', ({ fields, properties }: AmqpMessage) => {
      const { exchange, routingKey } = fields;
      for (const pending of this.#sentOn(channel)) {
        const { target, message, isReturned } = pending;
        if (isReturned || target.exchange !== exchange) continue;
        if (target.routingKey !== routingKey || message.options.messageId !== properties.messageId) continue;
        pending.isReturned = true;
        return;
      }
    });
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

  #onLost(channel: ConfirmChannel): void {
    if (this.#channel !== channel) return;
    this.#channel = undefined;
    this.#lostInARow += 1;
    const sentAgain = this.#sentOn(channel);
    this.#waiting = [...sentAgain, ...this.#waiting.filter(({ sentOn }) => sentOn !== channel)];
    if (this.#pending.size > 0) void this.#open();
  }

  #expire(): void {
    const now = Date.now();
    const { blockedBecause, lostBecause } = this.#connection;
    const why = blockedBecause === undefined ? lostBecause : `RabbitMQ blocks publishers: ${blockedBecause}`;
    for (const pending of this.#pending.all()) {
      if (pending.deadline > now) continue;
      const text = `No confirmation within ${pending.timeoutMs} ms${why === undefined ? '' : ` (${why})`}.`;
      this.#settle(pending, new MelangeError('PUBLISH_TIMEOUT', text));
    }
    // During an outage nothing else takes them out, and each holds its content.
    this.#waiting = this.#waiting.filter((pending) => this.#pending.has(pending));
  }
}

function closedError(): MelangeError {
  return new MelangeError('CLOSED', 'The RabbitMQ backend is closed.');
}
