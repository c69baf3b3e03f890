import { describe, expect, test } from 'vitest';
import { frameInlet } from '../src/client/amqplib-internals.ts';
import { DeliveryFrames } from '../src/wire/delivery-frames.ts';
import type { Received } from '../src/wire/received-message.ts';
import { channel, order } from './support/amqplib-frames.ts';
import { deliveryFrames as frames } from './support/delivery.ts';

const inletOf = (model: never) => frameInlet(model, new DeliveryFrames());

describe('before amqplib reads', () => {
  /** As much of a connection as is looked at. */
  function connected() {
    const inside = { ch: channel, accept: (): void => undefined };
    const channels: ({ readonly channel: object } | null)[] = [];
    channels[channel] = { channel: inside };
    const rests: number[] = [];
    const connection = {
      channels,
      accept: (): void => undefined,
      rest: Buffer.concat(frames(order)) as unknown,
      recvFrame(): false {
        rests.push((this.rest as Buffer).length);
        return false;
      },
    };
    return { inside, connection, rests, model: { connection } as never };
  }
  const whole = Buffer.concat(frames(order)).length;

  test('deliveries are taken of a channel that is open', () => {
    const { model, inside, connection, rests } = connected();
    const taken: Received[] = [];
    inletOf(model)?.takeFrom(inside as never, (delivery) => void taken.push(delivery));
    expect(connection.recvFrame()).toBe(false);
    expect(rests).toEqual([0]);
    expect(taken.map(({ message }) => message)).toEqual([order]);
  });

  test.each<[string, (scene: ReturnType<typeof connected>) => void]>([
    ['the channel ends', ({ inside }) => Object.assign(inside, { accept: () => 'ended' })],
    ['the connection ends', ({ connection }) => Object.assign(connection, { accept: () => 'ended' })],
    ['another channel has its number', ({ connection }) => connection.channels.fill({ channel: {} })],
    ['its number is free', ({ connection }) => connection.channels.fill(null)],
  ])('none is taken when %s', (_, end) => {
    const here = connected();
    const taken: Received[] = [];
    inletOf(here.model)?.takeFrom(here.inside as never, (delivery) => void taken.push(delivery));
    end(here);
    here.connection.recvFrame();
    expect(here.rests).toEqual([whole]);
    expect(taken).toEqual([]);
  });

  test('none is taken of a channel of another connection', () => {
    const { model, connection, rests } = connected();
    inletOf(model)?.takeFrom(connected().inside as never, () => expect.unreachable());
    connection.recvFrame();
    expect(rests).toEqual([whole]);
  });

  test.each(['rest', 'recvFrame', 'accept', 'channels'])('nothing is, by an amqplib without %s', (name) => {
    const { model, connection } = connected();
    Object.assign(connection, { [name]: undefined });
    expect(inletOf(model)).toBeUndefined();
  });
});
