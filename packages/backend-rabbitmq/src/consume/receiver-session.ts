import type { Troubles } from '@melange/backend-kit';
import type { Logger } from '@melange/core';
import type { Slots } from '@melange/core/adapter';
import type { Channel } from 'amqplib';
import type { RabbitMqConnection } from '../client/connection.ts';
import type { RabbitMqTopology } from '../topology/topology.ts';
import type { Acknowledger } from './acknowledger.ts';
import type { Copies, RabbitMqDelivery } from './delivery.ts';
import type { GivenBack } from './given-back.ts';

/** What a receiver needs of its backend. */
export interface ReceiverSettings {
  readonly queue: string;
  readonly connection: RabbitMqConnection;
  readonly topology: RabbitMqTopology;
  readonly copies: Copies;
  readonly logger: Logger;
  readonly troubles: Troubles;
  readonly givenBack: GivenBack;
}

/** One channel and what was delivered on it. */
export interface ReceiverSession {
  readonly channel: Channel;
  readonly acknowledger: Acknowledger;
  readonly unsettled: Slots<RabbitMqDelivery>;
  readonly onSettled: (delivery: RabbitMqDelivery) => void;
  isLost: boolean;
  /** Whether the queue counts its deliveries, as a quorum queue does. */
  readonly countsDeliveries: boolean;
}
