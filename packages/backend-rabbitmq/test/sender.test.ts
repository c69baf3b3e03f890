import { EventEmitter } from 'node:events';
import type { DriverContext, Outgoing } from '@melange/backend-kit';
import { silentLogger } from '@melange/core';
import { expect, test } from 'vitest';
import { settled } from '../../core/test/support/manual-clock.ts';
import { Sender } from '../src/publish/sender.ts';
import { type OutgoingMessage, toAmqp } from '../src/wire/outgoing-message.ts';
import { message } from './support/scene.ts';

/** A channel that notes what is published on it, for the test to answer. */
class Channel extends EventEmitter {
  readonly published: string[] = [];

  publish(_: string, __: string, content: Buffer): boolean {
    this.published.push(content.toString());
    return true;
  }

  confirm(deliveryTag: number, multiple = false): void {
    this.emit('ack', { deliveryTag, multiple });
  }

  /** @param reason of the broker, where it closes the channel. */
  lose(reason?: string): void {
    if (reason !== undefined) this.emit('error', new Error(reason));
    this.emit('close');
  }
}

function scene() {
  const channels: Channel[] = [];
  const connection = {
    isOpen: true,
    blockedBecause: undefined as string | undefined,
    async confirmChannel() {
      const channel = new Channel();
      channels.push(channel);
      return channel;
    },
  };
  const sender = new Sender(connection as never, { logger: silentLogger } as unknown as DriverContext);
  const taken: string[] = [];
  const send = (texts: readonly string[], exchange = '') => {
    const batch: (Outgoing<OutgoingMessage> & { isSettled: boolean })[] = texts.map((text) => ({
      id: text,
      encoded: toAmqp(message(text, text)),
      delayMs: 0,
      isSettled: false,
    }));
    const target = { exchange, routingKey: 'orders', mandatory: exchange === '' };
    const answer = sender.send(
      batch,
      () => target,
      (place) => void taken.push(texts[place] as string),
    );
    return { batch, answer };
  };
  return { channels, connection, taken, send };
}

test('what was not answered when a channel was lost goes to the next one, in its order, before later messages', async () => {
  const { channels, taken, send } = scene();
  const answers = [send(['a', 'b']), send(['c'])];
  await settled();
  channels[0]?.confirm(1);
  expect(taken).toEqual(['a']);
  channels[0]?.lose();
  answers.push(send(['d']));
  await settled();
  expect(channels.map(({ published }) => published)).toEqual([
    ['a', 'b', 'c'],
    ['b', 'c', 'd'],
  ]);
  channels[1]?.confirm(3, true);
  expect(await Promise.all(answers.map(({ answer }) => answer))).toEqual([undefined, undefined, undefined]);
  expect(taken).toEqual(['a', 'b', 'c', 'd']);
});

test('a message that nobody waits for any more is not written again', async () => {
  const { channels, send } = scene();
  const { batch } = send(['a', 'b']);
  await settled();
  Object.assign(batch[0] ?? {}, { isSettled: true });
  channels[0]?.lose();
  await settled();
  expect(channels[1]?.published).toEqual(['b']);
});

test('a second channel that is lost without any confirmation is left to the kit, which makes pauses', async () => {
  const { channels, send } = scene();
  const { answer } = send(['a']);
  await settled();
  channels[0]?.lose('first');
  await settled();
  channels[1]?.lose('second');
  expect(await answer).toMatchObject([{ message: expect.stringContaining('second') }]);
  expect(channels).toHaveLength(2);
});

test('the messages that cost the channel fail, and the others are sent again', async () => {
  const { channels, send } = scene();
  const missing = send(['a'], 'gone');
  const other = send(['b']);
  await settled();
  channels[0]?.lose("NOT_FOUND - no exchange 'gone' in vhost '/'");
  expect(await missing.answer).toMatchObject([{ code: 'TOPIC_NOT_FOUND' }]);
  await settled();
  expect(channels[1]?.published).toEqual(['b']);
  channels[1]?.confirm(1);
  expect(await other.answer).toBeUndefined();
});

test('nothing is written while the broker blocks publishers, and the reason is told', async () => {
  const { channels, connection, send } = scene();
  connection.blockedBecause = 'low on memory';
  await expect(send(['a']).answer).rejects.toThrow('RabbitMQ blocks publishers: low on memory');
  expect(channels).toEqual([]);
});
