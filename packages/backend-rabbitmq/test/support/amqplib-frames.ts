import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { Message } from '@melange/core';

/** How amqplib writes and reads frames; it exports nothing of it. */
const require = createRequire(import.meta.url);
const amqplib = join(dirname(require.resolve('amqplib')), 'lib');

export const { publish } = require(join(amqplib, 'api_args.js')) as {
  publish(exchange: string, routingKey: string, options: object): object;
};

export const { BasicDeliver, BasicProperties, BasicPublish, encodeMethod, encodeProperties } = require(
  join(amqplib, 'defs.js'),
) as {
  readonly BasicDeliver: number;
  readonly BasicProperties: number;
  readonly BasicPublish: number;
  encodeMethod(id: number, channel: number, fields: object): Buffer;
  encodeProperties(id: number, channel: number, size: number, fields: object): Buffer;
};

export const { makeBodyFrame, parseFrame, decodeFrame } = require(join(amqplib, 'frame.js')) as {
  makeBodyFrame(channel: number, content: Buffer): Buffer;
  parseFrame(bytes: Buffer, longest: number): { readonly rest: Buffer } | false;
  decodeFrame(frame: object): { readonly fields?: object; readonly content?: Buffer };
};

/** A number of a channel that takes both of its bytes. */
export const channel = 258;

/** A message as most are. */
export const order: Message = {
  id: '0190f3c2-0000-7000-8000-000000000001',
  content: '{"orderId":"17"}',
  manifest: 'shop.v1.OrderPlaced',
  serializerId: 1,
  key: undefined,
  headers: {},
  publishedAt: 1_764_000_000_123,
};
