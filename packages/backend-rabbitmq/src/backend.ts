import { checkSubscribeOptions, Troubles } from '@melange/backend-kit';
import {
  type Delivery,
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
} from '@melange/core';
import { unfailingLogger } from '@melange/core/adapter';
import { rabbitMqCapabilities } from './capabilities.ts';
import { checkOptions } from './check-options.ts';
import { RabbitMqConnection } from './client/connection.ts';
import { copiesOf } from './consume/copies.ts';
import type { Copies } from './consume/delivery.ts';
import { GivenBack } from './consume/given-back.ts';
import { RabbitMqReceiver } from './consume/receiver.ts';
import type { RabbitMqBackendOptions, RabbitMqQueueOptions } from './options.ts';
import { isMissing, MessagesCall, type PublishCall, prepared, within } from './publish/publish-calls.ts';
import { RabbitMqPublisher } from './publish/publisher.ts';
import { checkDestination, checkQueueName, whyNotPublishable } from './topology/names.ts';
import { RabbitMqTopology } from './topology/topology.ts';
import {
  assertSize,
  copyMessage,
  type OutgoingMessage,
  routingKeyOf,
  toAmqp,
} from './wire/outgoing-message.ts';
import type { Target } from './wire/publish-frames.ts';

/** RabbitMQ 3.10 and later, through amqplib. Connects on first use: one connection to publish, one to consume. */
export class RabbitMqBackend implements MessagingBackend<typeof rabbitMqCapabilities> {
  readonly name = 'rabbitmq';
  readonly capabilities: typeof rabbitMqCapabilities = rabbitMqCapabilities;
  readonly #publishTimeoutMs: number;
  readonly #logger: Logger;
  readonly #troubles: Troubles;
  readonly #publishing: RabbitMqConnection;
  readonly #consuming: RabbitMqConnection;
  readonly #publisher: RabbitMqPublisher;
  readonly #topology: RabbitMqTopology;
  readonly #receivers = new Set<RabbitMqReceiver>();
  readonly #givenBack = new GivenBack();
  /** Publishes that ask about their destination before the publisher has them. */
  readonly #inPreparation = new Set<Promise<void>>();
  #closing: Promise<void> | undefined;

  /** @throws MelangeError `CONFIGURATION` for an address that is none, and for numbers that make no sense. */
  constructor(options: RabbitMqBackendOptions) {
    checkOptions(options);
    this.#logger = unfailingLogger(options.logger);
    this.#publishTimeoutMs = options.publishTimeoutMs ?? 30_000;
    this.#troubles = new Troubles({ logger: this.#logger });
    this.#publishing = new RabbitMqConnection(options, 'publishing', this.#troubles);
    this.#consuming = new RabbitMqConnection(options, 'consuming', this.#troubles);
    this.#publisher = new RabbitMqPublisher(this.#publishing, this.#logger, this.#troubles);
    this.#topology = new RabbitMqTopology(
      this.#consuming,
      options.defaultQueueType ?? 'quorum',
      this.#logger,
    );
  }

  get address(): string {
    return this.#consuming.host;
  }

  async declareTopic(name: string): Promise<void> {
    this.#assertOpen();
    checkDestination('topic', name);
    await this.#topology.declareTopic(name);
  }

  async declareQueue(name: string, options: RabbitMqQueueOptions = {}): Promise<void> {
    this.#assertOpen();
    checkQueueName(name);
    if (options.deadLetterQueue !== undefined) checkQueueName(options.deadLetterQueue);
    for (const topic of [...(options.topics ?? []), ...(options.removeTopics ?? [])])
      checkDestination('topic', topic);
    await this.#topology.declareQueue(name, options);
  }

  publishToQueue(
    queue: string,
    messages: readonly Message[],
    { delayMs = 0, deadlineMs = this.#publishTimeoutMs }: PublishOptions & { readonly delayMs?: number } = {},
  ): Promise<void> {
    const refusal = this.#refusal('queue', queue, deadlineMs, delayMs);
    if (refusal !== undefined) return Promise.reject(refusal);
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
    const refusal = this.#refusal('topic', topic, deadlineMs);
    if (refusal !== undefined) return Promise.reject(refusal);
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
    checkQueueName(queue);
    checkSubscribeOptions(options);
    const settings = {
      queue,
      connection: this.#consuming,
      topology: this.#topology,
      copies: this.#copiesFrom(queue),
      logger: this.#logger,
      troubles: this.#troubles,
      givenBack: this.#givenBack,
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
    // Whoever waits for this call goes on before that.
    setImmediate(() => receiver.handOver());
    return receiver;
  }

  async describeQueue(name: string): Promise<QueueDescription> {
    this.#assertOpen();
    checkDestination('queue', name);
    return this.#topology.describeQueue(name);
  }

  async deleteQueue(name: string): Promise<void> {
    this.#assertOpen();
    checkDestination('queue', name);
    await this.#topology.deleteQueue(name);
  }

  async deleteTopic(name: string): Promise<void> {
    this.#assertOpen();
    checkDestination('topic', name);
    await this.#topology.deleteTopic(name);
  }

  async health(): Promise<Health> {
    if (this.#closing !== undefined) return { status: 'unhealthy', detail: 'closed' };
    this.#publisher.forgetOldRefusals();
    return this.#troubles.health();
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
    return copiesOf({
      queue,
      logger: this.#logger,
      troubles: this.#troubles,
      hasDeadLetterQueue: () => this.#topology.hasDeadLetterQueue(queue),
      send: (target, copy) => this.#publisher.confirmed(target, copy, timeoutMs),
      sendLater: (copy, delayMs) => this.#publishDelayed(queue, delayMs, copy, timeoutMs),
    });
  }

  /** Why nothing can be published so; found before the broker is touched. */
  #refusal(kind: 'queue' | 'topic', name: string, deadlineMs: number, delayMs = 0): unknown {
    return this.#closing === undefined ? whyNotPublishable(kind, name, deadlineMs, delayMs) : closedError();
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
