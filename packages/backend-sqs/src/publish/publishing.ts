import {
  MelangeError,
  type Message,
  PublishError,
  type PublishFailure,
  type PublishOptions,
  QueueNotFoundError,
  TopicNotFoundError,
} from '@melange/core';
import { checkDelayMs } from '@melange/core/adapter';
import { asMelangeError, backoffMs, isMissingQueue, isMissingTopic, pause } from '../errors.ts';
import type { SqsWireFormat } from '../options.ts';
import { assertQueueName, assertTopicName, isFifo } from '../topology/names.ts';
import type { SqsTopology } from '../topology/queues.ts';
import type { SnsTopics } from '../topology/topics.ts';
import { withCarriableContent } from '../wire/body.ts';
import { Backlog } from './backlog.ts';
import {
  type Destination,
  type Envelope,
  envelopeOf,
  maxQueueBytes,
  type SqsPublisher,
} from './publisher.ts';

/** Longest delay that SQS takes with a message, in seconds. */
const longestDelaySeconds = 900;

/** Messages of a call that are encoded and sent together. */
const sliceLength = 1_000;

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
  /** Calls that are not over. */
  #open = 0;
  #onIdle: (() => void)[] = [];
  /** Publishes that wait for an address: what is published meanwhile must not overtake them. */
  #asking = 0;
  /** By kind and name of the destination. */
  readonly #backlogs = new Map<string, Backlog>();

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
  toQueue(
    queue: string,
    messages: readonly Message[],
    options: PublishOptions & { readonly delayMs?: number },
  ): Promise<void> {
    if (this.#topology.knownUrlOf(queue) === undefined) assertQueueName(queue);
    const { wireFormat } = this.#settings;
    const delaySeconds = delaySecondsOf(queue, options.delayMs ?? 0);
    const wrap = (message: Message): Envelope => envelopeOf(message, wireFormat, maxQueueBytes, delaySeconds);
    return this.#publishAll('queue', queue, messages, wrap, options);
  }

  /** @throws PublishError, TopicNotFoundError. */
  toTopic(topic: string, messages: readonly Message[], options: PublishOptions): Promise<void> {
    if (this.#topics.knownArnOf(topic) === undefined) assertTopicName(topic);
    const { maxTopicBytes, wireFormat } = this.#settings;
    // The Python library reads the content of a topic's message as it is.
    const wrap = (message: Message): Envelope =>
      envelopeOf(
        wireFormat === 'python-melange' ? withCarriableContent(message) : message,
        'melange',
        maxTopicBytes,
      );
    return this.#publishAll('topic', topic, messages, wrap, options);
  }

  /** Waits for every publish that was called, up to its deadline. */
  async idle(): Promise<void> {
    while (this.#open > 0) await new Promise<void>((resolve) => this.#onIdle.push(resolve));
  }

  async #publishAll(
    kind: Destination['kind'],
    name: string,
    messages: readonly Message[],
    wrap: (message: Message) => Envelope,
    { deadlineMs }: PublishOptions,
  ): Promise<void> {
    const { publishTimeoutMs } = this.#settings;
    if (deadlineMs !== undefined) checkDelayMs('deadlineMs', deadlineMs);
    const until = deadlineMs === undefined ? undefined : performance.now() + deadlineMs;
    const key = `${kind} ${name}`;
    const backlog = this.#backlogs.get(key) ?? new Backlog(publishTimeoutMs);
    this.#backlogs.set(key, backlog);
    this.#open += 1;
    try {
      const failures: PublishFailure[] = [];
      const publish = (slice: readonly Message[]): Promise<void> =>
        this.#publishSlice(kind, name, slice, wrap, { backlog, until, failures });
      if (messages.length <= sliceLength) await publish(messages);
      else {
        const slices: Promise<void>[] = [];
        for (let from = 0; from < messages.length; from += sliceLength)
          slices.push(publish(messages.slice(from, from + sliceLength)));
        for (const outcome of await Promise.allSettled(slices))
          if (outcome.status === 'rejected') throw outcome.reason;
      }
      this.#assertNone(kind, name, failures);
    } finally {
      this.#open -= 1;
      if (this.#open === 0) for (const tell of this.#onIdle.splice(0)) tell();
    }
  }

  async #publishSlice(
    kind: Destination['kind'],
    name: string,
    messages: readonly Message[],
    wrap: (message: Message) => Envelope,
    call: {
      readonly backlog: Backlog;
      readonly until: number | undefined;
      readonly failures: PublishFailure[];
    },
  ): Promise<void> {
    const { backlog, failures } = call;
    const fail = ({ id }: Message, error: unknown): void => void failures.push({ messageId: id, error });
    const turn = backlog.enter(messages.length, call.until);
    if (turn !== undefined) {
      // Copies: the owner of the messages may change them while they wait.
      messages = messages.map(copyOf);
      try {
        await turn;
      } catch (error) {
        for (const message of messages) fail(message, error);
        return;
      }
    }
    const until = call.until ?? performance.now() + this.#settings.publishTimeoutMs;
    let taken = 0;
    try {
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
          return;
        } finally {
          this.#asking -= 1;
        }
      }
      const destination = { kind, name, address, isFifo: isFifo(name) };
      const left = Math.max(1, Math.round(until - performance.now()));
      const sent = wrapped.map(({ envelope }) => this.#publisher.publish(destination, envelope, left));
      const outcomes = await Promise.allSettled(sent);
      for (const [index, { message }] of wrapped.entries()) {
        const outcome = outcomes[index];
        if (outcome?.status === 'rejected') fail(message, outcome.reason);
        else taken += 1;
      }
    } finally {
      backlog.leave(messages.length, taken > 0);
    }
  }

  /** @throws PublishError, QueueNotFoundError, TopicNotFoundError. */
  #assertNone(kind: Destination['kind'], name: string, failures: readonly PublishFailure[]): void {
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
        return await within(until - performance.now(), found);
      } catch (error) {
        if (!MelangeError.is(error, 'BROKER_UNAVAILABLE') || performance.now() >= until) throw error;
        await pause(Math.min(backoffMs(attempt), Math.max(0, until - performance.now())));
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

/** Its owner may change the original. */
function copyOf(message: Message): Message {
  const { content } = message;
  return {
    ...message,
    headers: { ...message.headers },
    ...(content instanceof Uint8Array && { content: Uint8Array.from(content) }),
  };
}

function delaySecondsOf(queue: string, delayMs: number): number | undefined {
  checkDelayMs('delayMs', delayMs);
  if (delayMs === 0) return undefined;
  const seconds = Math.ceil(delayMs / 1_000);
  if (isFifo(queue)) {
    const text = `"${queue}" is a FIFO queue, and those delay no single message: publish without delayMs.`;
    throw new MelangeError('UNSUPPORTED', text);
  }
  if (seconds <= longestDelaySeconds) return seconds;
  const text = `SQS delays by 900,000 ms at most, not ${delayMs}: publish later, or retry with a delay, up to 12 hours.`;
  throw new MelangeError('UNSUPPORTED', text);
}
