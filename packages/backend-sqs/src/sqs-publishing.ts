import {
  MelangeError,
  type Message,
  PublishError,
  type PublishFailure,
  type PublishOptions,
  QueueNotFoundError,
  TopicNotFoundError,
} from '@melange/core';
import type { SnsTopics } from './sns-topics.ts';
import { asMelangeError, backoffMs, isMissingQueue, isMissingTopic, pause } from './sqs-errors.ts';
import type { SqsWireFormat } from './sqs-options.ts';
import {
  type Destination,
  type Envelope,
  envelopeOf,
  maxQueueBytes,
  type SqsPublisher,
} from './sqs-publisher.ts';
import { isFifo, type SqsTopology } from './sqs-topology.ts';

/** Longest delay that SQS takes with a message, in seconds. */
const longestDelaySeconds = 900;

/** How publishes of an application are made. */
export interface PublishingSettings {
  readonly wireFormat: SqsWireFormat;
  readonly publishTimeoutMs: number;
  readonly maxTopicBytes: number;
}

/** Publishes by the names of queues and topics, within a deadline, and says of each message that failed why it did. */
export class SqsPublishing {
  readonly #publisher: SqsPublisher;
  readonly #topology: SqsTopology;
  readonly #topics: SnsTopics;
  readonly #settings: PublishingSettings;
  /** Publishes that wait for an address: what is published meanwhile must not overtake them. */
  #asking = 0;

  constructor(
    publisher: SqsPublisher,
    topology: SqsTopology,
    topics: SnsTopics,
    settings: PublishingSettings,
  ) {
    this.#publisher = publisher;
    this.#topology = topology;
    this.#topics = topics;
    this.#settings = settings;
  }

  /** @throws PublishError, QueueNotFoundError, MelangeError `UNSUPPORTED`. */
  async toQueue(
    queue: string,
    messages: readonly Message[],
    options: PublishOptions & { readonly delayMs?: number },
  ): Promise<void> {
    const { wireFormat } = this.#settings;
    const delaySeconds = delaySecondsOf(queue, options.delayMs ?? 0);
    const wrap = (message: Message): Envelope => envelopeOf(message, wireFormat, maxQueueBytes, delaySeconds);
    await this.#publishAll('queue', queue, messages, wrap, options);
  }

  /** @throws PublishError, TopicNotFoundError. */
  async toTopic(topic: string, messages: readonly Message[], options: PublishOptions): Promise<void> {
    const { maxTopicBytes } = this.#settings;
    // The Python library reads the content of a topic's message as it is.
    const wrap = (message: Message): Envelope => envelopeOf(message, 'melange', maxTopicBytes);
    await this.#publishAll('topic', topic, messages, wrap, options);
  }

  async #publishAll(
    kind: Destination['kind'],
    name: string,
    messages: readonly Message[],
    wrap: (message: Message) => Envelope,
    { deadlineMs = this.#settings.publishTimeoutMs }: PublishOptions,
  ): Promise<void> {
    const until = Date.now() + deadlineMs;
    const failures: PublishFailure[] = [];
    const fail = ({ id }: Message, error: unknown): void => void failures.push({ messageId: id, error });
    // Before anything is waited for: the owner of the messages may change them afterwards.
    const wrapped: { readonly message: Message; readonly envelope: Envelope }[] = [];
    for (const message of messages) {
      try {
        wrapped.push({ message, envelope: wrap(message) });
      } catch (error) {
        fail(message, error);
      }
    }
    let address = this.#asking > 0 ? undefined : this.#knownAddressOf(kind, name);
    if (address === undefined) {
      this.#asking += 1;
      try {
        address = await this.#addressOf(kind, name, until);
      } catch (error) {
        if (MelangeError.is(error, 'QUEUE_NOT_FOUND') || MelangeError.is(error, 'TOPIC_NOT_FOUND'))
          throw error;
        for (const { message } of wrapped) fail(message, error);
      } finally {
        this.#asking -= 1;
      }
    }
    if (address !== undefined) {
      const destination = { kind, address, isFifo: isFifo(name) };
      const left = Math.max(1, until - Date.now());
      const sent = wrapped.map(({ envelope }) => this.#publisher.publish(destination, envelope, left));
      const outcomes = await Promise.allSettled(sent);
      for (const [index, { message }] of wrapped.entries()) {
        const outcome = outcomes[index];
        if (outcome?.status === 'rejected') fail(message, outcome.reason);
      }
    }
    if (failures.length === 0) return;
    const missing = failures.find(({ error }) => isMissingQueue(error) || isMissingTopic(error));
    if (missing === undefined) {
      throw new PublishError(
        name,
        failures.map(({ messageId, error }) => ({ messageId, error: asMelangeError(error) })),
      );
    }
    const options = { cause: missing.error };
    if (kind === 'queue') {
      this.#topology.forget(name);
      throw new QueueNotFoundError(name, options);
    }
    this.#topics.forget(name);
    throw new TopicNotFoundError(name, options);
  }

  #knownAddressOf(kind: Destination['kind'], name: string): string | undefined {
    return kind === 'queue' ? this.#topology.knownUrlOf(name) : this.#topics.knownArnOf(name);
  }

  /** Tries until the deadline while nothing answers. */
  async #addressOf(kind: Destination['kind'], name: string, until: number): Promise<string> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        const found = kind === 'queue' ? this.#topology.urlOf(name) : this.#topics.arnOf(name);
        return await within(until - Date.now(), found);
      } catch (error) {
        if (!MelangeError.is(error, 'BROKER_UNAVAILABLE') || Date.now() >= until) throw error;
        await pause(Math.min(backoffMs(attempt), Math.max(0, until - Date.now())));
      }
    }
  }
}

/** What SQS does not answer in time counts as unanswered. */
function within<Result>(milliseconds: number, work: Promise<Result>): Promise<Result> {
  return new Promise((resolve, reject) => {
    const late = (): void =>
      reject(new MelangeError('PUBLISH_TIMEOUT', 'AWS did not answer within the deadline.'));
    const timer = setTimeout(late, Math.max(1, milliseconds));
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

function delaySecondsOf(queue: string, delayMs: number): number | undefined {
  if (delayMs <= 0) return undefined;
  const seconds = Math.ceil(delayMs / 1_000);
  if (isFifo(queue)) {
    const text = `"${queue}" is a FIFO queue, and those delay no single message: publish without delayMs.`;
    throw new MelangeError('UNSUPPORTED', text);
  }
  if (seconds <= longestDelaySeconds) return seconds;
  const text = `SQS delays by 900,000 ms at most, not ${delayMs}: publish later, or retry with a delay, up to 12 hours.`;
  throw new MelangeError('UNSUPPORTED', text);
}
