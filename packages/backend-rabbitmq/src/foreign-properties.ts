import type { MessageProperties, Options } from 'amqplib';
import { writeShortText } from './amqp-encoding.ts';

/** What another client may have set, and the reader of a copy may need: how to read the content, and whom to answer. */
export type ForeignProperties = {
  readonly [Name in keyof typeof flag]?: Options.Publish[Name];
};

/** Bits that say which properties there are. They come in this order, ours among them. */
const flag = {
  contentType: 0x8000,
  contentEncoding: 0x4000,
  priority: 0x0800,
  correlationId: 0x0400,
  replyTo: 0x0200,
  timestamp: 0x0040,
  type: 0x0020,
  appId: 0x0008,
} as const;

/** Content type, headers, delivery mode and message id. */
export const ownFlags: number = 0x8000 | 0x2000 | 0x1000 | 0x0080;

const names = Object.keys(flag) as (keyof typeof flag)[];

/** Those that were received, if any. */
export function foreignProperties(received: MessageProperties): ForeignProperties {
  return Object.fromEntries(
    names.flatMap((name) => (received[name] === undefined ? [] : [[name, received[name]]])),
  );
}

/** The flags of a message that has them besides ours. */
export function flagsOf(foreign: ForeignProperties): number {
  return names.reduce((flags, name) => (foreign[name] === undefined ? flags : flags | flag[name]), ownFlags);
}

const places = {
  'before headers': ['contentEncoding'],
  'before message id': ['priority', 'correlationId', 'replyTo'],
  'after message id': ['timestamp', 'type', 'appId'],
} as const;

/** Writes those that have their place there, among our own; the content type is written as ours is. */
export function writeForeign(
  bytes: Buffer,
  start: number,
  foreign: ForeignProperties,
  place: keyof typeof places,
): number {
  let at = start;
  for (const name of places[place]) {
    const value = foreign[name];
    if (value === undefined) continue;
    if (name === 'timestamp') at = bytes.writeBigUInt64BE(BigInt(value), at);
    else if (name === 'priority') at = bytes.writeUInt8(Number(value), at);
    else at = writeShortText(bytes, at, String(value));
  }
  return at;
}
