import type { Message } from '@melange/core';
import { publishOptions, toAmqp } from '../../src/wire/outgoing-message.ts';
import {
  BasicDeliver,
  BasicProperties,
  channel,
  encodeMethod,
  encodeProperties,
  makeBodyFrame,
} from './amqplib-frames.ts';

interface Parts {
  readonly fields?: object;
  readonly properties?: object;
  readonly on?: number;
  /** What the content is cut into. */
  readonly bodies?: readonly Buffer[];
}

/** The frames of method, properties and content, as a broker sends them. */
export function deliveryFrames(
  message: Message,
  { fields, properties, on = channel, bodies }: Parts = {},
): Buffer[] {
  const outgoing = toAmqp(message);
  const content = Buffer.from(outgoing.content as string);
  const method = {
    consumerTag: 'melange',
    deliveryTag: 17,
    redelivered: false,
    exchange: 'shop-events',
    routingKey: 'shop.v1.OrderPlaced',
    ...fields,
  };
  const { persistent, ...sent } = publishOptions(outgoing);
  const all = { ...sent, deliveryMode: 2, ...properties };
  return [
    encodeMethod(BasicDeliver, on, method),
    Buffer.from(encodeProperties(BasicProperties, on, content.length, all)),
    ...(bodies ?? (content.length === 0 ? [] : [content])).map((body) => makeBodyFrame(on, body)),
  ];
}
