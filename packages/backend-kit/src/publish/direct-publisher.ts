import { BrokerUnavailableError, type Message, type PublishFailure } from '@melange/core';
import { checkDelayMs } from '@melange/core/adapter';
import type { Destination, DirectPublishDriver, Fault } from '../driver.ts';
import { missing, publishFailure } from './publish-call.ts';
import type { PublishBounds } from './publisher.ts';

/** The answer to every call whose messages were taken: none of them has anything of its own to wait for. */
const allTaken = Promise.resolve();

/** Publishes to a broker that takes a message in the turn of the call: no batch, timer or promise is made for it, and nothing is sent again. */
export class DirectPublisher {
  readonly #driver: DirectPublishDriver;
  readonly #explain: (error: unknown) => Fault;

  constructor(driver: DirectPublishDriver, explain: (error: unknown) => Fault) {
    this.#driver = driver;
    this.#explain = explain;
  }

  /** A driver that takes messages in the turn of the call has no need of it. */
  publishEncoded(): Promise<void> {
    return Promise.reject(new TypeError('A driver that puts messages calls its own `put`.'));
  }

  /**
   * Resolves when the broker has taken every message; each one is offered, whatever became of the others.
   *
   * @throws QueueNotFoundError, TopicNotFoundError, PublishError.
   */
  publish(destination: Destination, messages: readonly Message[], bounds: PublishBounds): Promise<void> {
    const { deadlineMs, delayMs } = bounds;
    try {
      if (deadlineMs !== undefined) checkDelayMs('deadlineMs', deadlineMs);
      checkDelayMs('delayMs', delayMs);
    } catch (error) {
      return Promise.reject(error);
    }
    let failures: PublishFailure[] | undefined;
    for (const message of messages) {
      try {
        this.#driver.put(message, destination, delayMs);
      } catch (error) {
        failures ??= [];
        failures.push({ messageId: message.id, error: this.#failure(error, destination) });
      }
    }
    return failures === undefined ? allTaken : Promise.reject(publishFailure(destination, failures));
  }

  /** No message is ever under way. */
  idle(): Promise<void> {
    return allTaken;
  }

  #failure(error: unknown, destination: Destination): Error {
    const fault = this.#explain(error);
    switch (fault.kind) {
      case 'missing':
        return missing(destination);
      case 'unavailable':
        return new BrokerUnavailableError(fault.reason);
      case 'refused':
        return fault.error;
    }
  }
}
