import {
  type DeadLetterOptions,
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
  warningLogger,
} from '@melange/core';
import { RabbitMqConnection } from './rabbitmq-connection.ts';
import type { Copies } from './rabbitmq-delivery.ts';
import { routingKeyOf, toAmqp } from './rabbitmq-message-mapper.ts';
import type { RabbitMqBackendOptions, RabbitMqQueueOptions } from './rabbitmq-options.ts';
import { RabbitMqPublisher, type Target } from './rabbitmq-publisher.ts';
import { RabbitMqReceiver } from './rabbitmq-receiver.ts';
import { deadLetterExchange, RabbitMqTopology } from './rabbitmq-topology.ts';

/** What RabbitMQ can do. The size is the default limit of RabbitMQ 4; 3.x takes eight times as much. */
export const rabbitMqCapabilities: {
  readonly delayedDelivery: true;
  readonly orderingByKey: false;
  readonly brokerSideFilters: true;
  readonly replay: false;
  readonly tombstones: false;
  readonly durable: true;
  readonly releaseKeepsAttempt: false;
  readonly maxMessageBytes: number;
} = {
  delayedDelivery: true,
  orderingByKey: false,
  brokerSideFilters: true,
  replay: false,
  tombstones: false,
  durable: true,
  releaseKeepsAttempt: false,
  maxMessageBytes: 16_777_216,
};

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
    this.#logger = options.logger ?? warningLogger;
    this.#publishTimeoutMs = options.publishTimeoutMs ?? 30_000;
    this.#publishing = new RabbitMqConnection(options, 'publishing', this.#logger);
    this.#consuming = new RabbitMqConnection(options, 'consuming', this.#logger);
    this.#publisher = new RabbitMqPublisher(this.#publishing, this.#logger);
    this.#topology = new RabbitMqTopology(this.#consuming, options.defaultQueueType ?? 'quorum');
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
    if (delayMs > 0 && !(await this.#topology.queueExists(queue))) throw new QueueNotFoundError(queue);
    const routingKey = delayMs > 0 ? await this.#topology.delayQueue(queue, delayMs) : queue;
    await this.#publishAll(queue, messages, () => ({ exchange: '', routingKey, mandatory: true }), options);
  }

  async publishToTopic(
    topic: string,
    messages: readonly Message[],
    options: PublishOptions = {},
  ): Promise<void> {
    this.#assertOpen();
    // Publishing to an exchange that is not there costs everybody the channel: ask first.
    if (!(await this.#topology.topicExists(topic))) throw new TopicNotFoundError(topic);
    const targetOf = ({ manifest }: Message): Target => ({
      exchange: topic,
      routingKey: routingKeyOf(manifest),
      mandatory: false,
    });
    await this.#publishAll(topic, messages, targetOf, options);
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
    this.#receivers.add(receiver);
    void receiver.ended.then(() => this.#receivers.delete(receiver));
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
    const lost = this.#consuming.lostBecause ?? this.#publishing.lostBecause;
    if (lost !== undefined) return { status: 'unhealthy', detail: `not connected: ${lost}` };
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

  async #publishAll(
    destination: string,
    messages: readonly Message[],
    targetOf: (message: Message) => Target,
    { deadlineMs = this.#publishTimeoutMs }: PublishOptions,
  ): Promise<void> {
    const failures: PublishFailure[] = [];
    const publishing = messages.map(async (message) => {
      try {
        const outgoing = toAmqp(message);
        assertSize(outgoing.content.length);
        await this.#publisher.publish(targetOf(message), outgoing, deadlineMs);
      } catch (error) {
        failures.push({ messageId: message.id, error });
      }
    });
    await Promise.all(publishing);
    if (failures.length === 0) return;
    const missing = failures.find(
      ({ error }) => MelangeError.is(error, 'QUEUE_NOT_FOUND') || MelangeError.is(error, 'TOPIC_NOT_FOUND'),
    );
    if (missing === undefined) throw new PublishError(destination, failures);
    if (MelangeError.is(missing.error, 'QUEUE_NOT_FOUND')) throw new QueueNotFoundError(destination);
    this.#topology.forgetTopic(destination);
    throw missing.error;
  }

  #copiesFrom(queue: string): Copies {
    const publish = (target: Target, message: Message, attemptsMade?: number): Promise<void> =>
      this.#publisher.publish(target, toAmqp(message, attemptsMade), this.#publishTimeoutMs);
    const hasDeadLetterQueue = async (): Promise<boolean> =>
      (await this.#topology.describeQueue(queue)).deadLetterQueue !== undefined;
    return {
      retryLater: async (message, attemptsMade, delayMs) => {
        if (delayMs <= 0)
          return publish({ exchange: '', routingKey: queue, mandatory: true }, message, attemptsMade);
        const routingKey = await this.#topology.delayQueue(queue, delayMs);
        try {
          await publish({ exchange: '', routingKey, mandatory: true }, message, attemptsMade);
        } catch (error) {
          this.#topology.forgetDelayQueue(routingKey);
          throw error;
        }
      },
      deadLetter: (message: Message, attempt: number, options: DeadLetterOptions) => {
        const copy = deadLetterCopy(message, options, { queue, attempts: attempt, at: Date.now() });
        return publish({ exchange: deadLetterExchange(queue), routingKey: '', mandatory: true }, copy);
      },
      assertDeadLetterQueue: async () => {
        if (await hasDeadLetterQueue()) return;
        throw new MelangeError(
          'CONFIGURATION',
          `Queue "${queue}" has no dead-letter queue: declare it with one.`,
        );
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
