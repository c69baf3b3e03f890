import { TopologyConflictError } from '@melange/core';
import {
  type AmqpConnection,
  type Channel,
  type ConfirmChannel,
  closeChannel,
} from '../client/connection.ts';
import { codeOf } from '../errors.ts';

type Opener = Pick<AmqpConnection<never>, 'channel' | 'confirmChannel'>;

/** Does work on a channel of its own, for the broker closes the channel of a question that it refuses. */
export class Channels {
  readonly #connection: Opener;

  constructor(connection: Opener) {
    this.#connection = connection;
  }

  /**
   * @param subject what exists, for the error: `queue "orders"`.
   * @throws TopologyConflictError where the broker says that it exists with other settings.
   */
  use<Result>(work: (channel: Channel) => Promise<Result>, subject: string): Promise<Result> {
    return doneOn(this.#connection.channel(), work, subject);
  }

  /** As `use`, on a channel that confirms what is published on it. */
  useConfirms<Result>(work: (channel: ConfirmChannel) => Promise<Result>, subject: string): Promise<Result> {
    return doneOn(this.#connection.confirmChannel(), work, subject);
  }

  queueExists(name: string): Promise<boolean> {
    return this.#exists((channel) => channel.checkQueue(name));
  }

  exchangeExists(name: string): Promise<boolean> {
    return this.#exists((channel) => channel.checkExchange(name));
  }

  async #exists(check: (channel: Channel) => Promise<unknown>): Promise<boolean> {
    try {
      await this.use(check, '');
      return true;
    } catch (error) {
      if (codeOf(error) === 404) return false;
      throw error;
    }
  }
}

async function doneOn<Opened extends Channel, Result>(
  opening: Promise<Opened>,
  work: (channel: Opened) => Promise<Result>,
  subject: string,
): Promise<Result> {
  const channel = await opening;
  try {
    return await work(channel);
  } catch (error) {
    if (codeOf(error) !== 405 && codeOf(error) !== 406) throw error;
    const reason =
      error instanceof Error ? error.message.replace(/^.*(PRECONDITION_FAILED|RESOURCE_LOCKED) - /, '') : '';
    throw new TopologyConflictError(`The ${subject} exists with other settings: ${reason}`, { cause: error });
  } finally {
    void closeChannel(channel);
  }
}
