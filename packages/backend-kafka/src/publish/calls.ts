import {
  MelangeError,
  type Message,
  MessageTooLargeError,
  PublishError,
  type PublishFailure,
  QueueNotFoundError,
  TopicNotFoundError,
} from '@melange/core';
import { kafkaCapabilities } from '../capabilities.ts';
import { typeOf } from '../client/index.ts';
import { snapshotOf } from '../wire/message.ts';
import { Deadlines, type Waiting } from './deadlines.ts';
import type { KafkaPublisher } from './publisher.ts';

type Kind = 'queue' | 'topic';

/** What says whether a destination is there. */
export interface Destinations {
  /** Whether it is known to exist. */
  isKnown(name: string): boolean;
  /** Asks the brokers where it is not known. */
  exists(name: string): Promise<boolean>;
  /** It turned out not to be there. */
  forget(name: string): void;
}

/** One call of `publishToQueue` or `publishToTopic`. */
interface Call extends Waiting {
  readonly destination: string;
  readonly kind: Kind;
  readonly deadlineMs: number;
  readonly messages: readonly Message[];
  readonly failures: PublishFailure[];
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
  isSettled: boolean;
}

/** Messages without a key that go to one partition before the next one has its turn. */
const messagesPerSpread = 500;
const { maxMessageBytes } = kafkaCapabilities;

/**
 * Calls to publish, under way. Those to one destination keep their order, also those that wait for the answer whether it
 * exists. A call costs a few hundred bytes besides its messages: a million of them may be made in one turn.
 */
export class PublishCalls {
  readonly #publisher: KafkaPublisher;
  readonly #destinations: Destinations;
  /** Calls that wait to hear whether their destination exists. */
  readonly #asking = new Map<string, Call[]>();
  readonly #deadlines = new Deadlines();
  #unsettled = 0;
  #onSettled: (() => void)[] = [];

  constructor(publisher: KafkaPublisher, destinations: Destinations) {
    this.#publisher = publisher;
    this.#destinations = destinations;
  }

  /** Takes the messages as they are now. Rejects with `PublishError`, or because there is no such destination. */
  publish(destination: string, kind: Kind, messages: readonly Message[], deadlineMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const failures: PublishFailure[] = [];
      const call: Call = {
        destination,
        kind,
        deadlineMs,
        messages: snapshots(messages, failures),
        failures,
        resolve,
        reject,
        isSettled: false,
        endsAt: performance.now() + deadlineMs,
        expire: () =>
          this.#failAll(
            call,
            new MelangeError('PUBLISH_TIMEOUT', `Kafka did not answer within ${deadlineMs} ms.`),
          ),
      };
      this.#unsettled += 1;
      const waiting = this.#asking.get(destination);
      if (waiting === undefined && this.#destinations.isKnown(destination)) {
        this.#send(call);
        return;
      }
      this.#deadlines.add(call);
      if (waiting !== undefined) {
        waiting.push(call);
        return;
      }
      this.#asking.set(destination, [call]);
      void this.#ask(destination);
    });
  }

  /** Resolves when every call that was made is settled. */
  async settled(): Promise<void> {
    if (this.#unsettled > 0) await new Promise<void>((resolve) => void this.#onSettled.push(resolve));
  }

  async #ask(destination: string): Promise<void> {
    const answer = await this.#destinations.exists(destination).catch((error: unknown) => ({ error }));
    const calls = this.#asking.get(destination) ?? [];
    this.#asking.delete(destination);
    for (const call of calls) {
      this.#deadlines.delete(call);
      if (call.isSettled) continue;
      if (answer === true) this.#send(call);
      else if (answer === false) this.#settle(call, missing(call));
      else this.#failAll(call, answer.error);
    }
  }

  #send(call: Call): void {
    const { destination, messages, failures, endsAt, deadlineMs } = call;
    let left = messages.length;
    if (left === 0) this.#finish(call);
    let spread = 0;
    for (const [index, message] of messages.entries()) {
      if (index % messagesPerSpread === 0) spread = this.#publisher.nextSpread();
      const onSettled = (error: unknown): void => {
        if (error !== undefined) failures.push({ messageId: message.id, error });
        left -= 1;
        if (left === 0) this.#finish(call);
      };
      const tooLarge = excess(message);
      if (tooLarge === undefined)
        this.#publisher.send(destination, message, spread, { endsAt, timeoutMs: deadlineMs }, onSettled);
      else onSettled(tooLarge);
    }
  }

  #finish(call: Call): void {
    const { destination, failures } = call;
    if (failures.length === 0) this.#settle(call, undefined);
    else if (failures.some(({ error }) => typeOf(error) === 'UNKNOWN_TOPIC_OR_PARTITION')) {
      this.#destinations.forget(destination);
      this.#settle(call, missing(call));
    } else this.#settle(call, new PublishError(destination, failures));
  }

  /** None of its messages was sent. */
  #failAll(call: Call, error: unknown): void {
    for (const { id } of call.messages) call.failures.push({ messageId: id, error });
    this.#settle(call, new PublishError(call.destination, call.failures));
  }

  #settle(call: Call, error: unknown): void {
    call.isSettled = true;
    if (error === undefined) call.resolve();
    else call.reject(error);
    this.#unsettled -= 1;
    if (this.#unsettled === 0) for (const resolve of this.#onSettled.splice(0)) resolve();
  }
}

function snapshots(messages: readonly Message[], failures: PublishFailure[]): Message[] {
  const taken: Message[] = [];
  for (const message of messages) {
    try {
      taken.push(snapshotOf(message));
    } catch (error) {
      failures.push({ messageId: message.id, error });
    }
  }
  return taken;
}

function missing({ destination, kind }: Call): MelangeError {
  return kind === 'queue' ? new QueueNotFoundError(destination) : new TopicNotFoundError(destination);
}

function excess({ content }: Message): MelangeError | undefined {
  const bytes = Buffer.byteLength(content ?? '');
  if (bytes <= maxMessageBytes) return undefined;
  return new MessageTooLargeError(`The content has ${bytes} bytes; Kafka takes ${maxMessageBytes}.`);
}
