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
  type SubscribeOptions,
  type Subscription,
} from '@melange/core';
import { checkDelayMs, unfailingLogger } from '@melange/core/adapter';
import { addressOf } from './client/address.ts';
import { AwsClients } from './client/clients.ts';
import { AttemptMemory } from './consume/attempt-memory.ts';
import { DeadLetters } from './consume/dead-letters.ts';
import type { LeaseRequests } from './consume/lease.ts';
import { leaseRequestsOf } from './consume/lease-requests.ts';
import { ReceivedElsewhere } from './consume/received-elsewhere.ts';
import { SqsReceiver } from './consume/receiver.ts';
import type { SqsBackendOptions, SqsQueueOptions, SqsWireFormat } from './options.ts';
import { maxQueueBytes, SqsPublisher } from './publish/publisher.ts';
import { SqsPublishing } from './publish/publishing.ts';
import { SqsTopology } from './topology/queues.ts';
import { retried } from './topology/retried.ts';
import { SnsTopics } from './topology/topics.ts';

/** What SQS and SNS can do. Queues whose names end in `.fifo` order by key besides, and delay nothing. */
export const sqsCapabilities: {
  readonly delayedDelivery: true;
  readonly orderingByKey: false;
  readonly ordered: false;
  readonly brokerSideFilters: true;
  readonly replay: false;
  readonly queuesKeepTopicMessages: true;
  readonly tombstones: false;
  readonly durable: true;
  readonly releaseKeepsAttempt: false;
  readonly deliveriesOutliveConnections: true;
  readonly exactDepth: false;
  readonly fencedSettlements: false;
  readonly tellsRedeliveries: true;
  readonly maxMessageBytes: number;
} = {
  delayedDelivery: true,
  orderingByKey: false,
  ordered: false,
  brokerSideFilters: true,
  replay: false,
  queuesKeepTopicMessages: true,
  tombstones: false,
  durable: true,
  releaseKeepsAttempt: false,
  deliveriesOutliveConnections: true,
  exactDepth: false,
  fencedSettlements: false,
  tellsRedeliveries: true,
  maxMessageBytes: maxQueueBytes,
};

/** Without an answer for longer than this, attention is needed, in ms. */
const lostTooLongMs = 30_000;

/** Longest time that a timer of Node keeps, in ms. */
const maxTimerMs = 2_147_483_647;

/** Amazon SQS and SNS, through the AWS SDK. */
export class SqsBackend implements MessagingBackend<typeof sqsCapabilities> {
  readonly name = 'sqs';
  readonly address?: string;
  readonly capabilities: typeof sqsCapabilities = sqsCapabilities;
  readonly #options: SqsBackendOptions;
  readonly #wireFormat: SqsWireFormat;
  readonly #publishTimeoutMs: number;
  readonly #logger: Logger;
  readonly #clients: AwsClients;
  readonly #topics: SnsTopics;
  readonly #topology: SqsTopology;
  readonly #publisher: SqsPublisher;
  readonly #publishing: SqsPublishing;
  readonly #troubles: Troubles;
  /** By the name of the queue. */
  readonly #memories = new Map<string, AttemptMemory>();
  readonly #leases = new Map<string, LeaseRequests>();
  readonly #receivers = new Set<SqsReceiver>();
  #closing: Promise<void> | undefined;

  /** @throws MelangeError `CONFIGURATION` when an option is out of its range. */
  constructor(options: SqsBackendOptions = {}) {
    assertOptions(options);
    this.#options = options;
    const address = addressOf(options.client);
    if (address !== undefined) this.address = address;
    this.#wireFormat = options.wireFormat ?? 'melange';
    this.#publishTimeoutMs = options.publishTimeoutMs ?? 30_000;
    this.#logger = unfailingLogger(options.logger);
    this.#troubles = new Troubles({ logger: this.#logger });
    this.#clients = new AwsClients(options);
    this.#topics = new SnsTopics(this.#clients.sns, retried);
    const mayChange = options.topology !== 'look-up';
    this.#topology = new SqsTopology(this.#clients.sqs, this.#topics, retried, mayChange, this.#logger);
    const maxTopicBytes = options.maxTopicMessageBytes ?? 262_144;
    this.#publisher = new SqsPublisher(this.#clients, {
      lingerMs: options.publishLingerMs ?? 3,
      maxTopicBytes,
      troubles: this.#troubles,
    });
    this.#publishing = new SqsPublishing(this.#publisher, this.#topology, this.#topics, {
      wireFormat: this.#wireFormat,
      publishTimeoutMs: this.#publishTimeoutMs,
      maxTopicBytes,
    });
  }

  async declareTopic(name: string): Promise<void> {
    this.#assertOpen();
    await this.#topology.declareTopic(name);
  }

  async declareQueue(name: string, options: SqsQueueOptions = {}): Promise<void> {
    this.#assertOpen();
    await this.#topology.declareQueue(name, options);
  }

  /** @throws MelangeError `UNSUPPORTED` for a delay above 900,000 ms, and for any delay of a FIFO queue. */
  async publishToQueue(
    queue: string,
    messages: readonly Message[],
    options: PublishOptions & { readonly delayMs?: number } = {},
  ): Promise<void> {
    this.#assertOpen();
    await this.#publishing.toQueue(queue, messages, options);
  }

  async publishToTopic(
    topic: string,
    messages: readonly Message[],
    options: PublishOptions = {},
  ): Promise<void> {
    this.#assertOpen();
    await this.#publishing.toTopic(topic, messages, options);
  }

  async subscribe(
    queue: string,
    options: SubscribeOptions,
    receive: (delivery: Delivery) => void,
  ): Promise<Subscription> {
    this.#assertOpen();
    checkSubscribeOptions(options);
    const deadLetters = this.#deadLettersOf(queue);
    const receiver = new SqsReceiver(
      {
        queue,
        clients: this.#clients,
        topology: this.#topology,
        logger: this.#logger,
        troubles: this.#troubles,
        memory: this.#memoryOf(queue),
        waitTimeSeconds: this.#options.waitTimeSeconds ?? 20,
        emptyAfterSeconds: this.#options.emptyAfterSeconds ?? 1,
        maxReceives: this.#options.maxReceives,
        requestsOf: (url) => this.#leasesOf(queue, url),
        deadLetter: (held, why) => deadLetters.copy(held, why),
        assertDeadLetterQueue: () => deadLetters.assertTarget(),
      },
      options,
      receive,
    );
    await receiver.start();
    this.#receivers.add(receiver);
    if (this.#closing !== undefined) {
      await receiver.abandon();
      this.#assertOpen();
    }
    void this.#forgetWhenOver(receiver);
    return receiver;
  }

  /**
   * Reads and settles messages of the queue that somebody else received for this process, as AWS Lambda does. Asks SQS
   * nothing before there is something to settle.
   */
  receivedElsewhere(queue: string): ReceivedElsewhere {
    this.#assertOpen();
    const requests = async () => this.#leasesOf(queue, await this.#topology.urlOf(queue));
    return new ReceivedElsewhere(queue, requests, this.#deadLettersOf(queue), this.#memoryOf(queue));
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
    await this.#topics.delete(name);
  }

  async health(): Promise<Health> {
    if (this.#closing !== undefined) return { status: 'unhealthy', detail: 'closed' };
    const troubled = this.#troubles.health();
    const { lost } = this.#clients;
    if (lost === undefined || troubled.status === 'unhealthy') return troubled;
    const status = lost.forMs >= lostTooLongMs ? 'unhealthy' : 'degraded';
    // What does not work says more than that a service does not answer.
    if (troubled.status === status) return troubled;
    return { status, detail: `${lost.service} does not answer: ${lost.reason}` };
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    const receivers = [...this.#receivers];
    const published = this.#publishing.idle().then(() => this.#publisher.close());
    await Promise.all([...receivers.map((receiver) => receiver.abandon()), published]);
    // A receive cannot be taken back: cut off, it would still be given a message, and hide it from everybody. So it
    // stays open, without keeping the process, and what it brings goes back at once.
    this.#clients.unrefReceives();
    void Promise.allSettled(receivers.map((receiver) => receiver.idle())).then(() => this.#clients.destroy());
  }

  async #forgetWhenOver(receiver: SqsReceiver): Promise<void> {
    await Promise.allSettled([receiver.ended]);
    await receiver.idle();
    this.#receivers.delete(receiver);
  }

  #deadLettersOf(queue: string): DeadLetters {
    return new DeadLetters(queue, this.#topology, this.#publisher, {
      wireFormat: this.#wireFormat,
      publishTimeoutMs: this.#publishTimeoutMs,
      logger: this.#logger,
      troubles: this.#troubles,
    });
  }

  #memoryOf(queue: string): AttemptMemory {
    const memory = this.#memories.get(queue) ?? new AttemptMemory();
    this.#memories.set(queue, memory);
    return memory;
  }

  #leasesOf(queue: string, url: string): LeaseRequests {
    const known = this.#leases.get(url);
    if (known !== undefined) return known;
    const leases = leaseRequestsOf(url, this.#clients, {
      acknowledgeLingerMs: this.#options.acknowledgeLingerMs ?? 20,
      queue,
      troubles: this.#troubles,
      visibilityTimeoutSeconds: this.#options.visibilityTimeoutSeconds ?? 30,
      warn: (text, reason) => this.#logger.warn(text, { queue, reason }),
    });
    this.#leases.set(url, leases);
    return leases;
  }

  #assertOpen(): void {
    if (this.#closing !== undefined) throw new MelangeError('CLOSED', 'The SQS backend is closed.');
  }
}

/** @throws MelangeError `CONFIGURATION` */
function assertOptions(options: SqsBackendOptions): void {
  const between = (name: keyof SqsBackendOptions, min: number, max: number): void => {
    const value = options[name];
    if (value === undefined) return;
    if (Number.isInteger(value) && Number(value) >= min && Number(value) <= max) return;
    const text = `${name} must be a whole number from ${min} to ${max}, not ${String(value)}.`;
    throw new MelangeError('CONFIGURATION', text);
  };
  between('visibilityTimeoutSeconds', 2, 43_200);
  between('waitTimeSeconds', 0, 20);
  between('emptyAfterSeconds', 0, 20);
  between('maxReceives', 1, 1_000);
  between('maxTopicMessageBytes', 1, maxQueueBytes);
  for (const name of ['publishLingerMs', 'acknowledgeLingerMs'] as const)
    checkDelayMs(name, options[name] ?? 0);
  for (const name of ['publishTimeoutMs', 'connectTimeoutMs', 'requestTimeoutMs'] as const)
    between(name, 1, maxTimerMs);
}
