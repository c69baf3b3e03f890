import { checkSubscribeOptions } from '@melange/backend-kit';
import {
  type Delivery,
  deadLetterCopy,
  type Health,
  type Logger,
  MelangeError,
  type Message,
  type MessagingBackend,
  type PublishOptions,
  type QueueDescription,
  QueueNotFoundError,
  type SubscribeOptions,
  type Subscription,
  TopicNotFoundError,
  unfailingLogger,
} from '@melange/core';
import { isMissing, MessagesCall, type PublishCall, prepared, within } from './publish-calls.ts';
import type { Target } from './publish-frames.ts';
import { rabbitMqCapabilities } from './rabbitmq-capabilities.ts';
import { RabbitMqConnection } from './rabbitmq-connection.ts';
import type { Copies } from './rabbitmq-delivery.ts';
import {
  assertSize,
  copyMessage,
  type OutgoingMessage,
  routingKeyOf,
  toAmqp,
} from './rabbitmq-message-mapper.ts';
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
  /** Publishes that ask about their destination before the publisher has them. */
  readonly #inPreparation = new Set<Promise<void>>();
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

  publishToQueue(
    queue: string,
    messages: readonly Message[],
    { delayMs = 0, deadlineMs = this.#publishTimeoutMs }: PublishOptions & { readonly delayMs?: number } = {},
  ): Promise<void> {
    if (this.#closing !== undefined) return Promise.reject(closedError());
    if (delayMs > 0) return this.#preparing(this.#publishLater(queue, messages, delayMs, deadlineMs));
    const target = queueTarget(queue);
    return this.#publishNow(queue, messages, (message, call) =>
      this.#publisher.publish(target, toAmqp(message), deadlineMs, call),
    );
  }

  publishToTopic(
    topic: string,
    messages: readonly Message[],
    { deadlineMs = this.#publishTimeoutMs }: PublishOptions = {},
  ): Promise<void> {
    if (this.#closing !== undefined) return Promise.reject(closedError());
    if (!this.#topology.knowsTopic(topic))
      return this.#preparing(this.#publishToNewTopic(topic, messages, deadlineMs));
    return this.#publishToKnownTopic(topic, messages, deadlineMs);
  }

  async subscribe(
    queue: string,
    options: SubscribeOptions,
    receive: (delivery: Delivery) => void,
  ): Promise<Subscription> {
    this.#assertOpen();
    checkSubscribeOptions(options);
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
    await Promise.allSettled(this.#inPreparation);
    await this.#publisher.close();
    await Promise.all([this.#publishing.close(), this.#consuming.close()]);
  }

  /** Sends all of them in this turn, each by `publish`. */
  #publishNow(
    destination: string,
    messages: readonly Message[],
    publish: (message: Message, call: PublishCall) => void,
  ): Promise<void> {
    const call = new MessagesCall(destination, messages.length);
    for (const message of messages) {
      try {
        assertSize(message.content);
        publish(message, call);
      } catch (error) {
        call.onSettled(message, error);
      }
    }
    return call.done;
  }

  #publishToKnownTopic(topic: string, messages: readonly Message[], timeoutMs: number): Promise<void> {
    const done = this.#publishNow(topic, messages, (message, call) => {
      const target = { exchange: topic, routingKey: routingKeyOf(message.manifest), mandatory: false };
      this.#publisher.publish(target, toAmqp(message), timeoutMs, call);
    });
    // It may have been deleted elsewhere.
    done.catch((error: unknown) => isMissing(error) && this.#topology.forgetTopic(topic));
    return done;
  }

  /** The close waits for it. */
  #preparing(publishing: Promise<void>): Promise<void> {
    this.#inPreparation.add(publishing);
    const forget = (): boolean => this.#inPreparation.delete(publishing);
    publishing.then(forget, forget);
    return publishing;
  }

  /** Publishing to an exchange that is not there costs everybody the channel: ask first. */
  async #publishToNewTopic(topic: string, messages: readonly Message[], deadlineMs: number): Promise<void> {
    const copies = messages.map(copyMessage);
    const timeoutMs = await prepared(topic, copies, deadlineMs, async () => {
      if (!(await this.#topology.topicExists(topic))) throw new TopicNotFoundError(topic);
    });
    await this.#publishToKnownTopic(topic, copies, timeoutMs);
  }

  async #publishLater(
    queue: string,
    messages: readonly Message[],
    delayMs: number,
    deadlineMs: number,
  ): Promise<void> {
    const copies = messages.map(copyMessage);
    const timeoutMs = await prepared(queue, copies, deadlineMs, async () => {
      // The delay queue would take it, and find nobody to give it to.
      if (!(await this.#topology.queueExists(queue))) throw new QueueNotFoundError(queue);
    });
    await this.#publishNow(queue, copies, (message, call) => {
      this.#publishDelayed(queue, delayMs, toAmqp(message), timeoutMs).then(
        () => call.onSettled(message),
        (error: unknown) => call.onSettled(message, error),
      );
    });
  }

  /** The delay queue may have been deleted since it was last used: then it is made again, once. */
  async #publishDelayed(
    queue: string,
    delayMs: number,
    outgoing: OutgoingMessage,
    timeoutMs: number,
  ): Promise<void> {
    const publish = async (): Promise<void> => {
      const name = await this.#topology.delayQueue(queue, delayMs);
      try {
        await this.#publisher.confirmed(queueTarget(name), outgoing, timeoutMs);
      } catch (error) {
        this.#topology.forgetDelayQueue(name);
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
      retryLater: ({ message, foreign }, attemptsMade, delayMs) => {
        const copy = toAmqp(message, attemptsMade, foreign);
        if (delayMs > 0) return this.#publishDelayed(queue, delayMs, copy, timeoutMs);
        return this.#publisher.confirmed(queueTarget(queue), copy, timeoutMs);
      },
      deadLetter: ({ message, foreign }, attempt, options) => {
        const copy = deadLetterCopy(message, options, { queue, attempts: attempt, at: Date.now() });
        const target = { exchange: deadLetterExchange(queue), routingKey: '', mandatory: true };
        return this.#publisher.confirmed(target, toAmqp(copy, undefined, foreign), timeoutMs);
      },
    };
  }

  #assertOpen(): void {
    if (this.#closing !== undefined) throw closedError();
  }
}

function closedError(): MelangeError {
  return new MelangeError('CLOSED', 'The RabbitMQ backend is closed.');
}

/** A queue that must be there. */
function queueTarget(queue: string): Target {
  return { exchange: '', routingKey: queue, mandatory: true };
}
