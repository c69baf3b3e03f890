import {
  type BatchAnswer,
  type BatchLimits,
  checkContentBytes,
  type Destination,
  type DriverContext,
  type Outgoing,
  type PublishDriver,
} from '@melange/backend-kit';
import {
  type MaybePromise,
  MelangeError,
  type Message,
  QueueNotFoundError,
  TopicNotFoundError,
} from '@melange/core';
import { rabbitMqCapabilities } from '../capabilities.ts';
import type { AmqpConnection } from '../client/connection.ts';
import { Unavailable } from '../errors.ts';
import type { Channels } from '../topology/channels.ts';
import type { DelayQueues } from '../topology/delay-queues.ts';
import type { Topology } from '../topology/topology.ts';
import { type OutgoingMessage, routingKeyOf, toAmqp } from '../wire/outgoing-message.ts';
import type { Target } from '../wire/publish-frames.ts';
import type { Sender } from './sender.ts';

type Messages = readonly Outgoing<OutgoingMessage>[];
type Taken = (place: number) => void;

/** What publishing needs. */
export interface PublishingSettings {
  readonly connection: AmqpConnection<never>;
  readonly sender: Sender;
  readonly channels: Channels;
  readonly topology: Topology;
  readonly delayQueues: DelayQueues;
  readonly context: DriverContext;
}

/** Publishes to queues by the default exchange, later by a delay queue, and to topics, which are exchanges. */
export class Publishing implements PublishDriver<OutgoingMessage> {
  readonly connection: AmqpConnection<never>;
  readonly #settings: PublishingSettings;
  readonly #limits: BatchLimits = { maxMessages: 1_000, maxBytes: 1_000_000, maxUnderWay: 1_000 };

  constructor(settings: PublishingSettings) {
    this.connection = settings.connection;
    this.#settings = settings;
  }

  encode(message: Message): OutgoingMessage {
    checkContentBytes(message, rabbitMqCapabilities.maxMessageBytes);
    return toAmqp(message);
  }

  bytesOf({ content, longestEnvelope }: OutgoingMessage): number {
    return content.length + longestEnvelope;
  }

  limitsOf(): BatchLimits {
    return this.#limits;
  }

  send(
    { kind, name }: Destination,
    messages: Messages,
    _: AbortSignal,
    taken: Taken,
  ): MaybePromise<BatchAnswer> {
    if (kind === 'topic') return this.#sendToTopic(name, messages, taken);
    if (messages.some(({ delayMs }) => delayMs > 0)) return this.#sendLater(name, messages, taken);
    const target = queueTarget(name);
    return this.#settings.sender.send(messages, () => target, taken);
  }

  /** Publishing to an exchange that is not there costs everybody the channel: ask first. */
  async #sendToTopic(topic: string, messages: Messages, taken: Taken): Promise<BatchAnswer> {
    const { sender, topology, context } = this.#settings;
    if (!topology.knowsTopic(topic)) {
      const exists = await context.ask(topic, () => topology.topicExists(topic));
      if (!exists) throw new TopicNotFoundError(topic);
    }
    const targetOf = ({ encoded: { manifest, isMandatory } }: Outgoing<OutgoingMessage>): Target => ({
      exchange: topic,
      routingKey: isMandatory ? '' : routingKeyOf(manifest),
      mandatory: isMandatory,
    });
    const answer = await sender.send(messages, targetOf, taken);
    // It may have been deleted elsewhere.
    if (answer?.some((error) => MelangeError.is(error, 'TOPIC_NOT_FOUND'))) topology.forgetTopic(topic);
    return answer;
  }

  /** Some of the messages wait in delay queues. */
  async #sendLater(queue: string, messages: Messages, taken: Taken): Promise<BatchAnswer> {
    const { sender, channels, delayQueues, context } = this.#settings;
    // The delay queue would take them, and find nobody to give them to. Who copies a message has just received it.
    if (messages.some(({ encoded }) => encoded.attempt === undefined)) {
      const exists = await context.ask(queue, () => channels.queueExists(queue));
      if (!exists) throw new QueueNotFoundError(queue);
    }
    const targets = new Map<number, Target>([[0, queueTarget(queue)]]);
    for (const { delayMs } of messages) {
      if (targets.has(delayMs)) continue;
      const name = await context.ask(queue, () => delayQueues.prepare(queue, delayMs));
      targets.set(delayMs, queueTarget(name));
    }
    const answer = await sender.send(messages, ({ delayMs }) => targets.get(delayMs) as Target, taken);
    return answer?.map((error, place) => {
      const { delayMs } = messages[place] as Outgoing<OutgoingMessage>;
      if (delayMs === 0 || !MelangeError.is(error, 'QUEUE_NOT_FOUND')) return error;
      // Deleted since it was last used: it is made again when the kit sends the message again.
      const name = (targets.get(delayMs) as Target).routingKey;
      delayQueues.forget(name);
      return new Unavailable(`delay queue "${name}" was deleted`);
    });
  }
}

/** A queue that must be there. */
function queueTarget(queue: string): Target {
  return { exchange: '', routingKey: queue, mandatory: true };
}
