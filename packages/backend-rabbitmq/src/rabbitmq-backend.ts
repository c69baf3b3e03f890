import {
  type Delivery,
  deadLetterCopy,
  type Health,
  type Logger,
  MelangeError,
  type Message,
  type MessagingBackend,
  PublishError,
  type PublishFailure,
  type PublishOptions,
  type QueueDescription,
  QueueNotFoundError,
  type SubscribeOptions,
  type Subscription,
  TopicNotFoundError,
  unfailingLogger,
} from '@melange/core';
import { rabbitMqCapabilities } from './rabbitmq-capabilities.ts';
import { RabbitMqConnection } from './rabbitmq-connection.ts';
import type { Copies } from './rabbitmq-delivery.ts';
import { type OutgoingMessage, routingKeyOf, toAmqp, toAmqpCopy } from './rabbitmq-message-mapper.ts';
import type { RabbitMqBackendOptions, RabbitMqQueueOptions } from './rabbitmq-options.ts';
import { RabbitMqPublisher } from './rabbitmq-publisher.ts';
import { RabbitMqReceiver } from './rabbitmq-receiver.ts';
import { deadLetterExchange, RabbitMqTopology } from './rabbitmq-topology.ts';

/** Reconnecting for longer than this needs attention, in ms. */
const lostTooLongMs = 30_000;

/** RabbitMQ 3.10 and later, through amqplib. Connects on first use: one connection to publish, one to consume. */
export class RabbitMqBackend implements MessagingBackend<typeof rabbitMqCapabilities> {
  readonly name = 'rabbitmq';
  readonly capabilities: typeof rabbitMqCapabilities = rabbitMqCapabilities;
  readonly #publishTimeoutMs: number;
  readonly #logger: Logger;
  readonly #publishing: RabbitMqConnection;
  readonly #consuming: RabbitMqConnection;
  readonly #publisher: RabbitMqPublisher;
  readonly #topology: RabbitMqTopology;
  readonly #receivers = new Set<RabbitMqReceiver>();
  #closing: Promise<void> | undefined;

  constructor(options: RabbitMqBackendOptions) {
    this.#logger = unfailingLogger(options.logger);
    this.#publishTimeoutMs = options.publishTimeoutMs ?? 30_000;
    this.#publishing = new RabbitMqConnection(options, 'publishing', this.#logger);
    this.#consuming = new RabbitMqConnection(options, 'consuming', this.#logger);
    this.#publisher = new RabbitMqPublisher(this.#publishing, this.#logger);
    this.#topology = new RabbitMqTopology(
      this.#consuming,
      options.defaultQueueType ?? 'quorum',
      this.#logger,
    );
  }

  async declareTopic(name: string): Promise<void> {
    this.#assertOpen();
    await this.#topology.declareTopic(name);
  }

  async declareQueue(name: string, options: RabbitMqQueueOptions = {}): Promise<void> {
    this.#assertOpen();
    await this.#topology.declareQueue(name, options);
  }

  async publishToQueue(
    queue: string,
    messages: readonly Message[],
    options: PublishOptions & { readonly delayMs?: number } = {},
  ): Promise<void> {
    this.#assertOpen();
    const { delayMs = 0 } = options;
    const isDelayed = delayMs > 0;
    const prepare = async (): Promise<void> => {
      // The delay queue would take it, and find nobody to give it to.
      if (!(await this.#topology.queueExists(queue))) throw new QueueNotFoundError(queue);
    };
    const send = (_: Message, outgoing: OutgoingMessage, timeoutMs: number): Promise<void> =>
      isDelayed
        ? this.#publishDelayed(queue, delayMs, outgoing, timeoutMs)
        : this.#publisher.publish({ exchange: '', routingKey: queue, mandatory: true }, outgoing, timeoutMs);
    await this.#publishAll(queue, messages, isDelayed ? prepare : undefined, send, options);
  }

  async publishToTopic(
    topic: string,
    messages: readonly Message[],
    options: PublishOptions = {},
  ): Promise<void> {
    this.#assertOpen();
    const prepare = async (): Promise<void> => {
      // Publishing to an exchange that is not there costs everybody the channel: ask first.
      if (!(await this.#topology.topicExists(topic))) throw new TopicNotFoundError(topic);
    };
    const send = ({ manifest }: Message, outgoing: OutgoingMessage, timeoutMs: number): Promise<void> => {
      const target = { exchange: topic, routingKey: routingKeyOf(manifest), mandatory: false };
      return this.#publisher.publish(target, outgoing, timeoutMs);
    };
    await this.#publishAll(
      topic,
      messages,
      this.#topology.knowsTopic(topic) ? undefined : prepare,
      send,
      options,
    );
  }

  async subscribe(
    queue: string,
    options: SubscribeOptions,
    receive: (delivery: Delivery) => void,
  ): Promise<Subscription> {
    this.#assertOpen();
    const settings = {
      queue,
      connection: this.#consuming,
      topology: this.#topology,
      copies: this.#copiesFrom(queue),
      logger: this.#logger,
    };
    const receiver = new RabbitMqReceiver(settings, options, receive);
    await receiver.start();
    if (this.#closing !== undefined) {
      // Closed while it was opening: `close` did not know of it yet.
      await receiver.abandon();
      this.#assertOpen();
    }
    this.#receivers.add(receiver);
    const forget = (): boolean => this.#receivers.delete(receiver);
    receiver.ended.then(forget, forget);
    return receiver;
  }

  async describeQueue(name: string): Promise<QueueDescription> {
    this.#assertOpen();
    return this.#topology.describeQueue(name);
  }

  async deleteQueue(name: string): Promise<void> {
    this.#assertOpen();
    await this.#topology.deleteQueue(name);
  }

  async deleteTopic(name: string): Promise<void> {
    this.#assertOpen();
    await this.#topology.deleteTopic(name);
  }

  async health(): Promise<Health> {
    if (this.#closing !== undefined) return { status: 'unhealthy', detail: 'closed' };
    for (const { lostBecause, lostForMs } of [this.#consuming, this.#publishing]) {
      if (lostBecause === undefined) continue;
      if (lostForMs > lostTooLongMs) return { status: 'unhealthy', detail: `not connected: ${lostBecause}` };
      return { status: 'degraded', detail: `reconnecting: ${lostBecause}` };
    }
    const blocked = this.#publishing.blockedBecause;
    if (blocked !== undefined)
      return { status: 'degraded', detail: `RabbitMQ blocks publishers: ${blocked}` };
    for (const { stalledBecause } of this.#receivers) {
      if (stalledBecause !== undefined)
        return { status: 'degraded', detail: `not receiving: ${stalledBecause}` };
    }
    return { status: 'healthy' };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    await Promise.all([...this.#receivers].map((receiver) => receiver.abandon()));
    await this.#publisher.close();
    await Promise.all([this.#publishing.close(), this.#consuming.close()]);
  }

  /** @param prepare what must be known before the first message is sent; without it messages go in this turn. */
  async #publishAll(
    destination: string,
    messages: readonly Message[],
    prepare: (() => Promise<void>) | undefined,
    send: (message: Message, outgoing: OutgoingMessage, timeoutMs: number) => Promise<void>,
    { deadlineMs = this.#publishTimeoutMs }: PublishOptions,
  ): Promise<void> {
    const failures: PublishFailure[] = [];
    let timeoutMs = deadlineMs;
    if (prepare !== undefined) {
      const startedAt = Date.now();
      try {
        await within(deadlineMs, prepare());
      } catch (error) {
        if (isMissing(error)) throw error;
        throw new PublishError(
          destination,
          messages.map(({ id }) => ({ messageId: id, error })),
        );
      }
      timeoutMs = Math.max(1, deadlineMs - (Date.now() - startedAt));
    }
    const publish = async (message: Message): Promise<void> => {
      try {
        const outgoing = toAmqp(message);
        assertSize(outgoing.content.length);
        await send(message, outgoing, timeoutMs);
      } catch (error) {
        failures.push({ messageId: message.id, error });
      }
    };
    const [first] = messages;
    if (messages.length === 1 && first !== undefined) await publish(first);
    else await Promise.all(messages.map(publish));
    if (failures.length === 0) return;
    const missing = failures.find(({ error }) => isMissing(error));
    if (missing === undefined) throw new PublishError(destination, failures);
    if (MelangeError.is(missing.error, 'QUEUE_NOT_FOUND')) throw new QueueNotFoundError(destination);
    this.#topology.forgetTopic(destination);
    throw missing.error;
  }

  /** The delay queue may have been deleted since it was last used: then it is made again, once. */
  async #publishDelayed(
    queue: string,
    delayMs: number,
    outgoing: OutgoingMessage,
    timeoutMs: number,
  ): Promise<void> {
    const publish = async (): Promise<void> => {
      const routingKey = await this.#topology.delayQueue(queue, delayMs);
      try {
        await this.#publisher.publish({ exchange: '', routingKey, mandatory: true }, outgoing, timeoutMs);
      } catch (error) {
        this.#topology.forgetDelayQueue(routingKey);
        throw error;
      }
    };
    await within(
      timeoutMs,
      publish().catch((error: unknown) => {
        if (!isMissing(error)) throw error;
        return publish();
      }),
    );
  }

  #copiesFrom(queue: string): Copies {
    const timeoutMs = this.#publishTimeoutMs;
    return {
      queue,
      hasDeadLetterQueue: () => this.#topology.hasDeadLetterQueue(queue),
      retryLater: ({ message, properties }, attemptsMade, delayMs) => {
        const copy = toAmqpCopy(message, properties, attemptsMade);
        if (delayMs > 0) return this.#publishDelayed(queue, delayMs, copy, timeoutMs);
        return this.#publisher.publish({ exchange: '', routingKey: queue, mandatory: true }, copy, timeoutMs);
      },
      deadLetter: ({ message, properties }, attempt, options) => {
        const copy = deadLetterCopy(message, options, { queue, attempts: attempt, at: Date.now() });
        const target = { exchange: deadLetterExchange(queue), routingKey: '', mandatory: true };
        return this.#publisher.publish(target, toAmqpCopy(copy, properties), timeoutMs);
      },
    };
  }

  #assertOpen(): void {
    if (this.#closing !== undefined) throw new MelangeError('CLOSED', 'The RabbitMQ backend is closed.');
  }
}

function assertSize(bytes: number): void {
  const { maxMessageBytes } = rabbitMqCapabilities;
  if (bytes <= maxMessageBytes) return;
  throw new MelangeError(
    'MESSAGE_TOO_LARGE',
    `The content has ${bytes} bytes; RabbitMQ takes ${maxMessageBytes}.`,
  );
}

function isMissing(error: unknown): boolean {
  return MelangeError.is(error, 'QUEUE_NOT_FOUND') || MelangeError.is(error, 'TOPIC_NOT_FOUND');
}

/** What the broker does not answer in time counts as unanswered. */
function within<Result>(deadlineMs: number, work: Promise<Result>): Promise<Result> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(
      () => reject(new MelangeError('PUBLISH_TIMEOUT', `RabbitMQ did not answer within ${deadlineMs} ms.`)),
      deadlineMs,
    );
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
