import { MelangeError, type Message, PublishError } from '@melange/core';
import { checkDelayMs } from '@melange/core/adapter';
import { checkExistingName, type NameRules } from '../checks.ts';
import type { Destination } from '../driver.ts';
import { Lanes, type PublishSettings } from './lanes.ts';
import { PublishCall } from './publish-call.ts';

/** Bounds of one call. */
export interface PublishBounds {
  /** Longest wait for the broker's confirmation, in ms. */
  readonly deadlineMs: number | undefined;
  /** In its place: longest wait for the confirmation of what was sent, and to be sent while the destination takes nothing, in ms. */
  readonly patienceMs: number;
  /** Pause in ms before subscribers see the messages. */
  readonly delayMs: number;
}

/** What publishing needs besides the messages. */
export interface PublisherSettings<Encoded> extends PublishSettings<Encoded> {
  readonly names: Readonly<Record<Destination['kind'], NameRules>>;
}

/** Publishes to every destination of a backend, each by itself. */
export class Publisher<Encoded> {
  readonly #settings: PublisherSettings<Encoded>;
  readonly #queues = new Map<string, Lanes<Encoded>>();
  readonly #topics = new Map<string, Lanes<Encoded>>();
  readonly #calls = new Set<Promise<void>>();

  constructor(settings: PublisherSettings<Encoded>) {
    this.#settings = settings;
  }

  /**
   * Resolves when the broker has taken every message.
   *
   * @throws QueueNotFoundError, TopicNotFoundError, PublishError.
   */
  publish(destination: Destination, messages: readonly Message[], bounds: PublishBounds): Promise<void> {
    try {
      this.#check(destination, bounds);
    } catch (error) {
      return Promise.reject(error);
    }
    const { clock, driver } = this.#settings;
    const { deadlineMs, patienceMs } = bounds;
    const deadline = clock.monotonicNow() + (deadlineMs ?? patienceMs);
    const patience = deadlineMs === undefined ? patienceMs : undefined;
    const call = new PublishCall(destination, messages.length, deadline, patience);
    if (messages.length === 0) return call.done;
    const publisher = this.#publisherOf(destination);
    for (const message of messages) {
      let encoded: Encoded;
      try {
        encoded = driver.encode(message, destination);
      } catch (error) {
        call.fail(message.id, MelangeError.is(error) ? error : invalid(error));
        continue;
      }
      publisher.add(call, message.id, encoded, bounds.delayMs);
    }
    this.#keep(call.done, destination, publisher);
    return call.done;
  }

  /**
   * Publishes what the driver wrote by itself.
   *
   * @throws QueueNotFoundError, TopicNotFoundError, and the error of the message.
   */
  async publishEncoded(
    destination: Destination,
    id: string,
    encoded: Encoded,
    { deadlineMs, delayMs }: { readonly deadlineMs: number; readonly delayMs: number },
  ): Promise<void> {
    const call = new PublishCall(destination, 1, this.#settings.clock.monotonicNow() + deadlineMs);
    const publisher = this.#publisherOf(destination);
    publisher.add(call, id, encoded, delayMs);
    this.#keep(call.done, destination, publisher);
    try {
      await call.done;
    } catch (error) {
      throw error instanceof PublishError ? error.failures[0]?.error : error;
    }
  }

  /** Resolves when every message that was published has its answer, by the deadline of its call at the latest. */
  async idle(): Promise<void> {
    while (this.#calls.size > 0) await Promise.allSettled(this.#calls);
  }

  #check(destination: Destination, { deadlineMs, delayMs }: PublishBounds): void {
    const { driver, names } = this.#settings;
    const { kind, name } = destination;
    // One that is known was checked.
    if (!(kind === 'queue' ? this.#queues : this.#topics).has(name))
      checkExistingName(kind, name, names[kind]);
    if (deadlineMs !== undefined) checkDelayMs('deadlineMs', deadlineMs);
    checkDelayMs('delayMs', delayMs);
    if (delayMs > 0) driver.checkDelay?.(destination, delayMs);
  }

  #publisherOf({ kind, name }: Destination): Lanes<Encoded> {
    const publishers = kind === 'queue' ? this.#queues : this.#topics;
    let publisher = publishers.get(name);
    if (publisher === undefined) {
      publisher = new Lanes({ kind, name }, this.#settings);
      publishers.set(name, publisher);
    }
    return publisher;
  }

  #keep(done: Promise<void>, { kind, name }: Destination, publisher: Lanes<Encoded>): void {
    this.#calls.add(done);
    const over = (): void => {
      this.#calls.delete(done);
      // Names come and go: the publisher of one that rests is made again.
      if (publisher.isIdle) (kind === 'queue' ? this.#queues : this.#topics).delete(name);
    };
    done.then(over, over);
  }
}

function invalid(cause: unknown): MelangeError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new MelangeError('MESSAGE_INVALID', `The message cannot be written for the broker: ${reason}.`, {
    cause,
  });
}
