import { checkSubscribeOptions } from '@melange/backend-kit';
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
  unfailingLogger,
} from '@melange/core';
import { AwsClients } from './aws-clients.ts';
import { DeadLetters } from './dead-letters.ts';
import type { LeaseRequests } from './lease.ts';
import { leaseRequestsOf } from './lease-requests.ts';
import { SnsTopics } from './sns-topics.ts';
import {
  asMelangeError,
  backoffMs,
  isMissingQueue,
  isMissingTopic,
  isTransient,
  pause,
} from './sqs-errors.ts';
import type { SqsBackendOptions, SqsQueueOptions, SqsWireFormat } from './sqs-options.ts';
import { maxQueueBytes, SqsPublisher } from './sqs-publisher.ts';
import { SqsPublishing } from './sqs-publishing.ts';
import { SqsReceiver } from './sqs-receiver.ts';
import { SqsTopology } from './sqs-topology.ts';

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
  maxMessageBytes: maxQueueBytes,
};

/** Without an answer for longer than this, attention is needed, in ms. */
const lostTooLongMs = 30_000;

/** Tries of what declares and looks up, before the service counts as unavailable. */
const topologyAttempts = 3;

/** Amazon SQS and SNS, through the AWS SDK. */
export class SqsBackend implements MessagingBackend<typeof sqsCapabilities> {
  readonly name = 'sqs';
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
  readonly #leases = new Map<string, LeaseRequests>();
  readonly #receivers = new Set<SqsReceiver>();
  #closing: Promise<void> | undefined;

  /** @throws MelangeError `CONFIGURATION` when an option is out of its range. */
  constructor(options: SqsBackendOptions = {}) {
    assertOptions(options);
    this.#options = options;
    this.#wireFormat = options.wireFormat ?? 'melange';
    this.#publishTimeoutMs = options.publishTimeoutMs ?? 30_000;
    this.#logger = unfailingLogger(options.logger);
    this.#clients = new AwsClients(options);
    this.#topics = new SnsTopics(this.#clients.sns, retried);
    const mayChange = options.topology !== 'look-up';
    this.#topology = new SqsTopology(this.#clients.sqs, this.#topics, retried, mayChange);
    const maxTopicBytes = options.maxTopicMessageBytes ?? 262_144;
    this.#publisher = new SqsPublisher(this.#clients, {
      lingerMs: options.publishLingerMs ?? 3,
      maxTopicBytes,
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
    const deadLetters = new DeadLetters(queue, this.#topology, this.#publisher, {
      wireFormat: this.#wireFormat,
      publishTimeoutMs: this.#publishTimeoutMs,
      logger: this.#logger,
    });
    const receiver = new SqsReceiver(
      {
        queue,
        clients: this.#clients,
        topology: this.#topology,
        logger: this.#logger,
        waitTimeSeconds: this.#options.waitTimeSeconds ?? 20,
        emptyAfterSeconds: this.#options.emptyAfterSeconds ?? 1,
        maxReceives: this.#options.maxReceives,
        requestsOf: (url) => this.#leasesOf(url),
        deadLetter: (received, why) => deadLetters.copy(received, why),
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
    const { lost } = this.#clients;
    if (lost !== undefined) {
      const status = lost.forMs > lostTooLongMs ? 'unhealthy' : 'degraded';
      return { status, detail: `${lost.service} does not answer: ${lost.reason}` };
    }
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
    const receivers = [...this.#receivers];
    await Promise.all([...receivers.map((receiver) => receiver.abandon()), this.#publisher.close()]);
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

  #leasesOf(url: string): LeaseRequests {
    const known = this.#leases.get(url);
    if (known !== undefined) return known;
    const leases = leaseRequestsOf(url, this.#clients, {
      acknowledgeLingerMs: this.#options.acknowledgeLingerMs ?? 20,
      visibilityTimeoutSeconds: this.#options.visibilityTimeoutSeconds ?? 30,
      warn: (text, reason) => this.#logger.warn(text, { queue: url.split('/').at(-1), reason }),
    });
    this.#leases.set(url, leases);
    return leases;
  }

  #assertOpen(): void {
    if (this.#closing !== undefined) throw new MelangeError('CLOSED', 'The SQS backend is closed.');
  }
}

async function retried<Output>(request: () => Promise<Output>): Promise<Output> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await request();
    } catch (error) {
      if (isMissingQueue(error) || isMissingTopic(error)) throw error;
      if (attempt === topologyAttempts || !isTransient(error)) throw asMelangeError(error);
      await pause(backoffMs(attempt + 1));
    }
  }
}

function assertOptions(options: SqsBackendOptions): void {
  const check = (name: keyof SqsBackendOptions, least: number, most: number): void => {
    const value = options[name] ?? least;
    if (Number.isInteger(value) && Number(value) >= least && Number(value) <= most) return;
    const text = `${name} must be a whole number from ${least} to ${most}, not ${String(value)}.`;
    throw new MelangeError('CONFIGURATION', text);
  };
  check('visibilityTimeoutSeconds', 2, 43_200);
  check('waitTimeSeconds', 0, 20);
  check('emptyAfterSeconds', 0, 20);
  check('maxReceives', 1, 1_000);
}
