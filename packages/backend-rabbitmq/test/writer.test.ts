import { PassThrough } from 'node:stream';
import type { ConfirmChannel } from 'amqplib';
import { expect, test } from 'vitest';
import { frameOutlet } from '../src/client/amqplib-internals.ts';
import { type PublishWriter, publishWriter } from '../src/publish/writer.ts';
import { toAmqp } from '../src/wire/outgoing-message.ts';
import { message } from './support/scene.ts';

interface Scene {
  readonly writer: PublishWriter;
  /** What went to the connection, each as text. */
  readonly sent: string[];
}

/** A writer on what amqplib has under a channel, so that a channel can be lost at any moment. */
function writerOnStandIn(): Scene {
  const sent: string[] = [];
  const channels: unknown[] = [null];
  const channel = {
    ch: 1,
    connection: {
      stream: new PassThrough(),
      frameMax: 131_072,
      channels,
      sendBytes: (bytes: Uint8Array) => sent.push(Buffer.from(bytes).toString('latin1')),
    },
  };
  channels.push({ channel });
  const confirming = channel as unknown as ConfirmChannel;
  const writer = publishWriter(confirming, frameOutlet(confirming), () => undefined);
  return { writer, sent };
}

const target = { exchange: '', routingKey: 'orders', mandatory: true };
const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

test('what is written in one turn goes out at its end, in order', async () => {
  const { writer, sent } = writerOnStandIn();
  writer.write(target, toAmqp(message('first')));
  writer.write(target, toAmqp(message('second')));
  expect(sent).toEqual([]);
  await nextTurn();
  expect(sent).toEqual([expect.stringMatching(/first.*second/s)]);
});

// The broker ends the whole connection for a frame on a channel that it has closed.
test('what was written when the channel is lost in the same turn does not go out', async () => {
  const { writer, sent } = writerOnStandIn();
  writer.write(target, toAmqp(message('sent before')));
  await nextTurn();
  writer.write(target, toAmqp(message('lost')));
  writer.discard();
  await nextTurn();
  expect(sent).toEqual([expect.stringContaining('sent before')]);
});
