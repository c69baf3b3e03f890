import { isUtf8 } from 'node:buffer';
import { randomUUID } from 'node:crypto';
import { DeadLetterHeader, type Message, type MessageContent, WireHeader } from '@melange/core';
import { tableOf } from './amqplib-values.ts';
import { deathOf } from './broker-dead-letters.ts';
import { type Field, fieldsOf, isNone, numberOfField, textOfField } from './field-table.ts';
import {
  type DecodedProperties,
  encodedProperties,
  type ForeignProperties,
  rawProperties,
} from './foreign-properties.ts';
import { binaryType, isBrokerHeader, isTextual, ownName, textType } from './names.ts';

/** What another client wrote, for a copy that keeps it. */
export interface Foreign {
  readonly properties: ForeignProperties;
  /** Its headers, as they came. */
  readonly fields: readonly Field[];
  /** Headers that amqplib could read and that nobody can write. */
  readonly dropped: readonly string[];
}

/** As amqplib hands it out. */
export interface DeliveredMessage {
  readonly content: Buffer;
  readonly fields: { readonly deliveryTag: number; readonly redelivered: boolean };
  readonly properties: DecodedProperties;
}

/** What the broker delivered, whatever the handler did to its copy. */
export interface Original {
  readonly message: Message;
  /** `undefined` where all of it is in the message. */
  readonly foreign: Foreign | undefined;
}

/** What the broker delivered, as it was read. */
export interface Received {
  /** Number of the delivery on its channel. */
  readonly tag: number;
  readonly message: Message;
  /** From 1. */
  readonly attempt: number;
  /** By the broker's count, unless the intake knows better. */
  redeliveries: number;
  /** Whether the broker has handed it out before; a copy is a new message to it. */
  readonly isRedelivered: boolean;
  original(): Original;
}

/**
 * A message that amqplib read. Never throws: what another client sent is taken as it is. A foreign message without any id
 * gets a new one at each delivery.
 *
 * @param payload flags and properties as they came, where they are at hand: amqplib rounds whole numbers beyond 2^53.
 */
export function receivedOf(delivered: DeliveredMessage, countsDeliveries = true, payload?: Buffer): Received {
  const foreign = foreignOf(delivered.properties, payload);
  const message = read(delivered, foreign);
  return {
    tag: delivered.fields.deliveryTag,
    message,
    isRedelivered: delivered.fields.redelivered,
    ...countsOf(foreign.fields, delivered.fields.redelivered, countsDeliveries),
    // A foreign message without an id has the one that it was given.
    original: () => ({ message: { ...read(delivered, foreign), id: message.id }, foreign }),
  };
}

function foreignOf(decoded: DecodedProperties, payload: Buffer | undefined): Foreign {
  if (payload !== undefined) {
    const { foreign, headers } = rawProperties(payload, decoded);
    return { properties: foreign, fields: fieldsOf(headers), dropped: [] };
  }
  const { table, dropped } = tableOf(decoded.headers ?? {});
  const properties = encodedProperties(decoded);
  return { properties, fields: fieldsOf(table), dropped: [...properties.dropped, ...dropped] };
}

function read({ content, properties }: DeliveredMessage, { fields }: Foreign): Message {
  const headers: Record<string, string> = {};
  const envelope = new Map<string, Buffer>();
  for (const { name, value } of fields) {
    if (envelopeNames.has(name)) envelope.set(name, value);
    else if (!isBrokerHeader(name)) headers[ownName(name)] = textOfField(value);
  }
  if (headers[DeadLetterHeader.reason] === undefined) Object.assign(headers, deathOf(fields));
  const text = (name: string): string | undefined => {
    const value = envelope.get(name);
    return value === undefined || isNone(value) ? undefined : textOfField(value);
  };
  const number = (name: string): number | undefined => {
    const value = envelope.get(name);
    return value === undefined ? undefined : numberOfField(value);
  };
  const { contentType, contentEncoding } = properties;
  return {
    // An id that is empty tells no message from another.
    id: text(WireHeader.messageId) || properties.messageId || randomUUID(),
    content: contentOf(content, contentType, contentEncoding),
    manifest: text(WireHeader.manifest),
    serializerId: number(WireHeader.serializerId),
    ...contentTypeOf(contentType),
    key: text(WireHeader.key),
    headers,
    publishedAt: number(WireHeader.publishedAt),
  };
}

const envelopeNames: ReadonlySet<string> = new Set(Object.values(WireHeader));

/** The types that are written where the message has none say nothing of it. */
function contentTypeOf(contentType: string | undefined): Pick<Message, 'contentType'> {
  return contentType === undefined || contentType === textType || contentType === binaryType
    ? {}
    : { contentType };
}

function contentOf(
  content: Buffer,
  contentType: string | undefined,
  contentEncoding: string | undefined,
): MessageContent {
  if (isTextual(contentType, contentEncoding) && isUtf8(content)) return content.toString('utf8');
  return Uint8Array.from(content);
}

/**
 * Attempts and redeliveries, as a retried copy carries them, and what the broker counted since: a quorum queue counts
 * deliveries in `x-delivery-count`, a classic one tells only whether there was any. Without a redelivery that header is
 * another client's own.
 */
export function countsOf(
  fields: readonly Field[],
  isRedelivered: boolean,
  countsDeliveries: boolean,
): Pick<Received, 'attempt' | 'redeliveries'> {
  const count = (name: string): number => {
    const value = fields.findLast((field) => field.name === name)?.value;
    const number = value === undefined ? 0 : (numberOfField(value) ?? 0);
    return Number.isSafeInteger(number) && number > 0 ? number : 0;
  };
  const counted = countsDeliveries ? count('x-delivery-count') : 0;
  const redeliveries = isRedelivered ? Math.max(1, counted) : 0;
  return {
    attempt: count(WireHeader.attempt) + 1,
    redeliveries: count(WireHeader.redeliveries) + redeliveries,
  };
}
