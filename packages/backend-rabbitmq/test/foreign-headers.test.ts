import { DeadLetterHeader, type Logger, silentLogger } from '@melange/core';
import { describe, expect, test, vi } from 'vitest';
import type { RabbitMqBackend } from '../src/index.ts';
import { getRaw, publishRaw, type RawHeader, type RawMessage } from './support/raw-amqp.ts';
import { arrived, backendFor, inbox, noBroker, queueName, rawChannel, url } from './support/scene.ts';

/** Whether bytes are read and written past amqplib; without, as with a version of it that is made otherwise. */
const inside = vi.hoisted(() => ({ isOn: true }));
vi.mock('../src/client/amqplib-internals.ts', async (original) => {
  const internals = await original<typeof import('../src/client/amqplib-internals.ts')>();
  const { frameInlet, frameOutlet, propertiesPayload } = internals;
  return {
    ...internals,
    frameInlet: (model: never, reader: never) => (inside.isOn ? frameInlet(model, reader) : undefined),
    frameOutlet: (channel: never) => (inside.isOn ? frameOutlet(channel) : undefined),
    propertiesPayload: (properties: never) => (inside.isOn ? propertiesPayload(properties) : undefined),
  };
});

const soon = { timeout: 20_000, interval: 20 };

function bytes(size: number, write: (buffer: Buffer) => void): Buffer {
  const buffer = Buffer.alloc(size);
  write(buffer);
  return buffer;
}

function text(value: string): Buffer {
  return Buffer.from(value);
}

function entry(name: string, type: string, value: Buffer): Buffer {
  const size = bytes(4, (buffer) => buffer.writeUInt32BE(value.length));
  const content = 'SxAF'.includes(type) ? Buffer.concat([size, value]) : value;
  return Buffer.concat([Buffer.of(name.length), text(name), text(type), content]);
}

const int64 = (value: bigint): Buffer => bytes(8, (buffer) => buffer.writeBigInt64BE(value));
const time = (seconds: bigint): Buffer => bytes(8, (buffer) => buffer.writeBigUInt64BE(seconds));
/** Without a name, as an element of an array is. */
const element = (type: string, value: Buffer): Buffer => entry('', type, value).subarray(1);

/** Every type that RabbitMQ has, and what a handler sees of it. */
const headers: readonly (readonly [...RawHeader, seen: string])[] = [
  ['text', 'S', text('é'), 'é'],
  ['x-mine', 'S', text('kept'), 'kept'],
  ['x-death-star', 'S', text('kept, too'), 'kept, too'],
  ['yes', 't', Buffer.of(1), 'true'],
  ['no', 't', Buffer.of(0), 'false'],
  ['none', 'V', Buffer.of(), 'null'],
  ['int8', 'b', Buffer.of(0x80), '-128'],
  ['int16', 's', Buffer.of(0x80, 0), '-32768'],
  ['int32', 'I', Buffer.of(0x80, 0, 0, 0), '-2147483648'],
  ['int64', 'l', int64(9_007_199_254_740_993n), '9007199254740993'],
  ['least', 'l', int64(-(2n ** 63n)), '-9223372036854775808'],
  ['double', 'd', bytes(8, (buffer) => buffer.writeDoubleBE(-0.1)), '-0.1'],
  ['float', 'f', bytes(4, (buffer) => buffer.writeFloatBE(1.5)), '1.5'],
  ['decimal', 'D', Buffer.of(2, 0, 0, 0, 5), '0.05'],
  ['time', 'T', time(1_764_000_000n), '2025-11-24T16:00:00.000Z'],
  ['no time', 'T', time(2n ** 63n - 1n), '9223372036854775807'],
  ['bytes', 'x', Buffer.of(0xff, 0, 1), '/wAB'],
  [
    'table',
    'F',
    Buffer.concat([
      entry('large', 'l', int64(9_007_199_254_740_993n)),
      entry('when', 'T', time(0n)),
      entry('inner', 'F', entry('raw', 'x', Buffer.of(1))),
    ]),
    '{"large":9007199254740993,"when":"1970-01-01T00:00:00.000Z","inner":{"raw":"AQ=="}}',
  ],
  [
    'array',
    'A',
    Buffer.concat([element('S', text('a')), element('t', Buffer.of(1)), element('V', Buffer.of())]),
    '["a",true,null]',
  ],
];
const sent: readonly RawHeader[] = headers.map(([name, type, value]) => [name, type, value]);
const seen = Object.fromEntries(headers.map(([name, , , text]) => [name, text]));

interface Scene {
  readonly backend: RabbitMqBackend;
  readonly queue: string;
  readonly dead: string;
}

async function scene(logger: Logger = silentLogger): Promise<Scene> {
  const backend = backendFor({ logger });
  const [queue, dead] = [queueName(backend), queueName(backend)];
  await backend.declareQueue(queue, { deadLetterQueue: dead });
  return { backend, queue, dead };
}

/** Sends a message, and has it retried at once, retried later and dead-lettered. */
async function retriedAndDead({ backend, queue, dead }: Scene, message: RawMessage) {
  await publishRaw(url, queue, [message]);
  const received = inbox((delivery) =>
    delivery.attempt < 3
      ? delivery.retry({ delayMs: (delivery.attempt - 1) * 10 })
      : delivery.deadLetter({ reason: 'rejected', error: new Error('no') }),
  );
  await backend.subscribe(queue, { maxInFlight: 1 }, received.receive);
  await vi.waitFor(async () => expect((await backend.describeQueue(dead)).depth).toBe(1), soon);
  const [copy] = await getRaw(url, dead, 1);
  return { deliveries: received.deliveries, copy };
}

describe.skipIf(url === '')(`headers of plain AMQP clients${url === '' ? ` (${noBroker})` : ''}`, () => {
  test('are text of the documented form to a handler, and in copies what they were, byte for byte', async () => {
    inside.isOn = true;
    const large = 2n ** 64n - 1n;
    const { deliveries, copy } = await retriedAndDead(await scene(), {
      body: text('1'),
      headers: sent,
      contentType: 'application/json',
      messageId: 'm-1',
      timestamp: large,
    });
    expect(deliveries.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
    for (const { message } of deliveries) expect(message).toMatchObject({ id: 'm-1', headers: seen });
    expect(Object.keys(deliveries[2]?.message.headers ?? {}).sort()).toEqual(Object.keys(seen).sort());
    const kept = copy?.headers.filter(([name]) => name in seen);
    const ordered = (all: readonly RawHeader[] = []) =>
      all.map(([name, type, value]) => [name, type, Buffer.from(value).toString('hex')]).sort();
    expect(ordered(kept)).toEqual(ordered(sent));
    expect(copy).toMatchObject({ contentType: 'application/json', messageId: 'm-1', timestamp: large });
    expect(copy?.contentEncoding).toBeUndefined();
    expect(copy?.headers.map(([name]) => name)).not.toContain('melange_dropped');
  });

  test('are kept by their types where amqplib reads and writes them; what it cannot write is named', async () => {
    inside.isOn = false;
    const warn = vi.fn();
    const exact = sent.filter(([name]) => !['int64', 'least', 'no time', 'table'].includes(name));
    const { deliveries, copy } = await retriedAndDead(await scene({ ...silentLogger, warn }), {
      body: text('1'),
      headers: exact,
      messageId: 'm-1',
      timestamp: 2n ** 64n - 1n,
    });
    expect(deliveries.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
    for (const { message } of deliveries) {
      for (const [name] of exact) expect([name, message.headers[name]]).toEqual([name, seen[name]]);
    }
    const types = new Map(copy?.headers.map(([name, type]) => [name, type]));
    const expected = { text: 'S', yes: 't', none: 'V', time: 'T', decimal: 'D', bytes: 'x', array: 'A' };
    for (const [name, type] of Object.entries(expected))
      expect([name, types.get(name)]).toEqual([name, type]);
    expect(copy?.timestamp).toBeUndefined();
    const dropped = copy?.headers.find(([name]) => name === 'melange_dropped')?.[2];
    expect(Buffer.from(dropped ?? []).toString()).toBe('timestamp');
    expect(warn).toHaveBeenCalledWith(
      'a copy of a message could not take along all of it',
      expect.objectContaining({ messageId: 'm-1', dropped: 'timestamp' }),
    );
  });

  test.each([
    ['where bytes are written past amqplib', true, 125_000],
    ['by amqplib', false, 62_000],
  ])(
    'that leave no room for the reason are left out of the copy, the largest first, and named: %s',
    async (_, isOn, length) => {
      inside.isOn = isOn;
      const warn = vi.fn();
      const { copy } = await retriedAndDead(await scene({ ...silentLogger, warn }), {
        body: text('1'),
        headers: [
          ['small', 'S', text('stays')],
          ['large', 'S', Buffer.alloc(length, 'x')],
          ['also', 'S', Buffer.alloc(3_400, 'y')],
        ],
        messageId: 'm'.repeat(255),
      });
      const names = new Map(copy?.headers.map(([name, , value]) => [name, Buffer.from(value).toString()]));
      expect(names.get('small')).toBe('stays');
      expect(names.get(DeadLetterHeader.reason)).toBe('rejected');
      if (names.has('melange_dropped')) expect(names.get('melange_dropped')).toBe('large');
      expect(names.has('large')).toBe(!names.has('melange_dropped'));
      expect(names.has('also')).toBe(true);
    },
  );

  test('with an empty id each get an id of their own: none is a duplicate of another', async () => {
    inside.isOn = true;
    const { backend, queue } = await scene();
    const empty: RawMessage = { body: text('1'), messageId: '', headers: [['message_id', 'S', text('')]] };
    await publishRaw(url, queue, [empty, { body: text('2'), messageId: '' }, { body: text('3') }]);
    const received = inbox((delivery) => delivery.acknowledge());
    await backend.subscribe(queue, { maxInFlight: 5 }, received.receive);
    await arrived(received.deliveries, 3);
    const ids = new Set(received.deliveries.map(({ message }) => message.id));
    expect(ids.size).toBe(3);
    expect(ids).not.toContain('');
  });

  test('of what the broker dead-lettered by itself say why and from where, and a dispatcher can read it', async () => {
    inside.isOn = true;
    const { backend, queue, dead } = await scene();
    const raw = await rawChannel();
    raw.sendToQueue(queue, text('"late"'), { expiration: '1', contentType: 'application/json' });
    await raw.waitForConfirms();
    const received = inbox((delivery) => delivery.acknowledge());
    await backend.subscribe(dead, { maxInFlight: 1 }, received.receive);
    await arrived(received.deliveries, 1);
    expect(received.deliveries[0]?.message).toMatchObject({
      content: '"late"',
      contentType: 'application/json',
      headers: {
        [DeadLetterHeader.reason]: 'expired',
        [DeadLetterHeader.sourceQueue]: queue,
        [DeadLetterHeader.deadLetteredAt]: expect.stringMatching(/^20\d\d-/),
      },
    });
  });
});
