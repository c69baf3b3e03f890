import type { DriverContext, Intake, PushDriver, SubscriptionContext } from '@melange/backend-kit';
import { QueueNotFoundError } from '@melange/core';
import { type AmqpConnection, closeChannel } from '../client/connection.ts';
import { codeOf } from '../errors.ts';
import type { Channels } from '../topology/channels.ts';
import type { Topology } from '../topology/topology.ts';
import type { Received } from '../wire/received-message.ts';
import { Copies } from './copies.ts';
import { GivenBack } from './given-back.ts';
import { Source } from './source.ts';

/** What consuming needs. */
export interface ConsumingSettings {
  readonly connection: AmqpConnection<Received>;
  readonly channels: Channels;
  readonly topology: Topology;
  readonly context: DriverContext;
}

/** Opens a channel for each subscription. */
export class Consuming implements PushDriver<Received> {
  readonly kind = 'push';
  readonly #settings: ConsumingSettings;
  readonly #givenBack = new GivenBack();

  constructor(settings: ConsumingSettings) {
    this.#settings = settings;
  }

  async open(subscription: SubscriptionContext, intake: Intake<Received>): Promise<Source> {
    const { connection, channels, topology, context } = this.#settings;
    const { queue } = subscription;
    const countsDeliveries = await topology.countsDeliveries(queue);
    const channel = await connection.channel();
    const copies = new Copies(queue, context);
    const givenBack = this.#givenBack;
    const source = new Source(
      { ...subscription, channel, countsDeliveries, copies, channels, givenBack, context },
      intake,
    );
    const { inlet } = connection;
    try {
      await source.start(inlet && ((take) => inlet.takeFrom(channel, take)));
    } catch (error) {
      void closeChannel(channel);
      if (codeOf(error) !== 404) throw error;
      topology.forgetSettings(queue);
      throw new QueueNotFoundError(queue, { cause: error });
    }
    return source;
  }
}
