import { MelangeError, type Message, PublishError, type PublishFailure } from '@melange/core';
import type { RedisStreamsConnection, ScriptParameter } from './redis-streams-connection.ts';
import { translated } from './redis-streams-errors.ts';
import { toEntry } from './redis-streams-message-mapper.ts';

/** Messages and bytes that go to Redis in one script: others have their turn between two. */
const mostMessages = 500;
const mostBytes = 4_194_304;

/** Where a batch goes. */
export interface Destination {
  readonly kind: 'queue' | 'topic';
  readonly name: string;
}

interface Waiting {
  readonly parameters: readonly ScriptParameter[];
  readonly bytes: number;
  readonly deadline: number;
  /** Undefined when Redis has taken it. */
  readonly settle: (error?: unknown) => void;
  isGivenUp: boolean;
}

/** Sends to one destination, a batch at a time: in order, and all that is published meanwhile in the next one. */
export class RedisStreamsPublisher {
  readonly #connection: RedisStreamsConnection;
  readonly #destination: Destination;
  readonly #waiting: Waiting[] = [];
  #isSending = false;

  constructor(connection: RedisStreamsConnection, destination: Destination) {
    this.#connection = connection;
    this.#destination = destination;
  }

  get isIdle(): boolean {
    return !this.#isSending && this.#waiting.length === 0;
  }

  /**
   * @param deadline of `performance.now()`.
   * @throws QueueNotFoundError, TopicNotFoundError, PublishError.
   */
  async publish(messages: readonly Message[], delayMs: number, deadline: number): Promise<void> {
    const failures: PublishFailure[] = [];
    const sent = messages.map((message) => {
      const { id } = message;
      return this.#enqueue(message, delayMs, deadline).catch((error: unknown) => {
        failures.push({ messageId: id, error });
      });
    });
    await Promise.all(sent);
    if (failures.length === 0) return;
    const missing = failures.find(({ error }) => isMissing(error));
    if (missing !== undefined) throw missing.error;
    throw new PublishError(this.#destination.name, failures);
  }

  #enqueue(message: Message, delayMs: number, deadline: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const fields = toEntry(message);
      const lead = this.#destination.kind === 'queue' ? delayMs : (message.manifest ?? '');
      const bytes = fields.reduce((sum, field) => sum + field.length, 0);
      const timer = setTimeout(
        () => {
          waiting.isGivenUp = true;
          reject(new MelangeError('PUBLISH_TIMEOUT', 'Redis did not confirm the message in time.'));
        },
        Math.max(0, deadline - performance.now()),
      );
      const settle = (error?: unknown): void => {
        clearTimeout(timer);
        if (error === undefined) resolve();
        else reject(error);
      };
      const waiting: Waiting = {
        parameters: [lead, fields.length, ...fields],
        bytes,
        deadline,
        settle,
        isGivenUp: false,
      };
      this.#waiting.push(waiting);
      this.#start();
    });
  }

  #start(): void {
    if (this.#isSending) return;
    this.#isSending = true;
    // Not in this turn: what is published in it goes together.
    setImmediate(() => void this.#send());
  }

  async #send(): Promise<void> {
    for (let batch = this.#next(); batch.length > 0; batch = this.#next()) {
      const { kind, name } = this.#destination;
      const script = kind === 'queue' ? 'publishToQueue' : 'publishToTopic';
      const deadline = Math.max(...batch.map((one) => one.deadline));
      const parameters = [name, ...batch.flatMap((one) => one.parameters)];
      try {
        await this.#connection.run(script, parameters, deadline);
        for (const { settle } of batch) settle();
      } catch (error) {
        for (const { settle } of batch) settle(translated(error, name));
      }
    }
    this.#isSending = false;
  }

  #next(): readonly Waiting[] {
    const batch: Waiting[] = [];
    let bytes = 0;
    let looked = 0;
    for (const one of this.#waiting) {
      if (batch.length === mostMessages || bytes >= mostBytes) break;
      looked += 1;
      if (one.isGivenUp) continue;
      bytes += one.bytes;
      batch.push(one);
    }
    // At once: to shift a long list moves all of it for each message.
    this.#waiting.splice(0, looked);
    return batch;
  }
}

function isMissing(error: unknown): boolean {
  return MelangeError.is(error, 'QUEUE_NOT_FOUND') || MelangeError.is(error, 'TOPIC_NOT_FOUND');
}
