import { MelangeError } from '@melange/core';
import protobuf from 'protobufjs';
import { describe, expect, test } from 'vitest';
import {
  descriptorTypes,
  loadProtoFiles,
  ProtobufSerializer,
  type ProtobufSerializerOptions,
  reflectedTypes,
  staticTypes,
} from '../src/index.ts';
import * as shopModule from './fixtures/shop.static.js';
import { descriptor, emptyOrder, line, OrderPlaced, protoFile } from './shop.ts';

const types = descriptorTypes(descriptor);
const name = OrderPlaced.manifest;

const sources = {
  'a .proto file': await loadProtoFiles(protoFile),
  'a JSON descriptor': types,
  'a static module': staticTypes(shopModule),
  'a root of the application': reflectedTypes(protobuf.loadSync(protoFile)),
};

function serializerOf(options: Partial<ProtobufSerializerOptions> = {}): ProtobufSerializer {
  return new ProtobufSerializer({ types, classes: [OrderPlaced], ...options });
}

function trip(value: object, serializer = serializerOf()): unknown {
  return serializer.deserialize(serializer.serialize(value) as Uint8Array, serializer.manifest(value));
}

function refused(run: () => unknown): MelangeError & { readonly path: readonly PropertyKey[] } {
  try {
    run();
  } catch (error) {
    expect(MelangeError.is(error, 'SERIALIZATION'), String(error)).toBe(true);
    return error as MelangeError & { readonly path: readonly PropertyKey[] };
  }
  throw new Error('nothing was refused');
}

describe.each(Object.entries(sources))('types of %s', (_, source) => {
  const serializer = new ProtobufSerializer({ types: source, classes: [OrderPlaced] });

  test('carry every kind of field', () => {
    const order = new OrderPlaced({
      orderId: 'žluťoučký 🐎',
      totalInCents: 2n ** 63n - 1n,
      currency: 2,
      lines: [line, { ...line, priceInCents: -(2n ** 63n) }],
      labels: { colour: 'red', '': 'empty key' },
      byNumber: { '-7': line, '9223372036854775807': line },
      signature: Uint8Array.of(0, 255, 128),
      ledger: [1n, -1n, 2n ** 53n + 1n],
      accepted: [0, 1, 2],
      weight: 0.1,
      ratio: 0.5,
      gift: true,
      checksum: 2n ** 64n - 1n,
      small: 4_294_967_295,
      notes: ['', 'second'],
      previous: { ...emptyOrder(), orderId: 'before' },
    });
    const received = trip(order, serializer);
    expect(received).toBeInstanceOf(OrderPlaced);
    expect(received).toEqual(order);
    expect((received as OrderPlaced).signature.constructor).toBe(Uint8Array);
  });

  test('give defaults for what is not set, and nothing for optional fields, messages and oneofs', () => {
    const received = trip(new OrderPlaced(), serializer);
    expect(received).toEqual(new OrderPlaced());
    for (const absent of ['card', 'voucher', 'barter', 'priority', 'previous']) {
      expect(received).not.toHaveProperty(absent);
    }
    expect(trip(new OrderPlaced({ priority: 0 }), serializer)).toHaveProperty('priority', 0);
  });

  test.each([{ card: '' }, { voucher: 0n }, { barter: line }])('carry the oneof %o', (payment) => {
    expect(trip(new OrderPlaced(payment), serializer)).toEqual(new OrderPlaced(payment));
  });

  test('carry enum values that are not known', () => {
    const order = new OrderPlaced({ currency: 77, accepted: [1, 99] });
    expect(trip(order, serializer)).toEqual(order);
  });

  test('carry instances of protobufjs as what they are', () => {
    const unbound = new ProtobufSerializer({ types: source });
    const content = serializer.serialize(new OrderPlaced({ orderId: 'o-1', totalInCents: 7n })) as Uint8Array;
    const received = unbound.deserialize(content, name) as { orderId: string; totalInCents: unknown };
    expect(Object.getPrototypeOf(received)).toBe(source.get(name)?.prototype);
    expect(received.orderId).toBe('o-1');
    expect(String(received.totalInCents)).toBe('7');
    expect(unbound.manifest(received)).toBe(name);
    expect(unbound.serialize(received)).toEqual(content);
  });

  test('keep the fields that a newer producer added in instances of protobufjs', () => {
    const newer = Uint8Array.from([
      ...(serializer.serialize(new OrderPlaced({ orderId: 'o' })) as Uint8Array),
      0xfa,
      0x01,
      1,
      65,
    ]);
    const unbound = new ProtobufSerializer({ types: source });
    expect(unbound.serialize(unbound.deserialize(newer, name))).toEqual(newer);
    expect(serializer.deserialize(newer, name)).toEqual(new OrderPlaced({ orderId: 'o' }));
  });

  test('refuse what would not arrive as it is, and say where', () => {
    const cases: [object, string][] = [
      [{ orderID: 'typo' }, 'orderID'],
      [{ small: -1 }, 'small'],
      [{ small: 2 ** 32 }, 'small'],
      [{ small: 1.5 }, 'small'],
      [{ small: '5' }, 'small'],
      [{ orderId: 5 }, 'orderId'],
      [{ gift: 'yes' }, 'gift'],
      [{ gift: 1 }, 'gift'],
      [{ weight: 'heavy' }, 'weight'],
      [{ totalInCents: 2n ** 63n }, 'totalInCents'],
      [{ totalInCents: 0.5 }, 'totalInCents'],
      [{ checksum: -1n }, 'checksum'],
      [{ currency: 'EUR' }, 'currency'],
      [{ card: 'c', voucher: 1n }, 'card'],
      [{ lines: [line, { ...line, quantity: -1 }] }, 'lines.1.quantity'],
      [{ previous: new Date() }, 'previous'],
      [{ labels: new Map([['a', 'b']]) }, 'labels'],
      [{ signature: 'AAAA' }, 'signature'],
      [{ signature: [1, 2] }, 'signature'],
    ];
    for (const [fields, path] of cases) {
      const error = refused(() => serializer.serialize(new OrderPlaced(fields)));
      expect(error.path.join('.'), JSON.stringify(Object.keys(fields))).toBe(path);
      expect(error.message).toContain(path);
    }
  });

  test('refuse what protobufjs refuses', () => {
    const circular = new OrderPlaced();
    Object.assign(circular, { previous: circular });
    const odd: unknown[] = [
      { orderId: '\ud800' },
      { lines: 'none' },
      { lines: [null] },
      { labels: 3 },
      { previous: 'x' },
      { notes: [undefined] },
    ];
    for (const value of [circular, ...odd.map((fields) => new OrderPlaced(fields as object))]) {
      refused(() => serializer.serialize(value));
    }
  });
});

describe('64-bit integers', () => {
  test('may be published as bigint, number, decimal text or Long', () => {
    const long = new protobuf.util.Long(-42, -1, false);
    for (const totalInCents of [-42n, -42, '-42', long]) {
      expect(trip(Object.assign(new OrderPlaced(), { totalInCents }))).toHaveProperty('totalInCents', -42n);
    }
  });

  test('arrive as text where that is asked for', () => {
    const serializer = serializerOf({ longs: 'string' });
    const order = Object.assign(new OrderPlaced(), { totalInCents: '-9223372036854775808', ledger: ['1'] });
    expect(trip(order, serializer)).toMatchObject({ totalInCents: '-9223372036854775808', ledger: ['1'] });
  });
});

test('enum values arrive by name where that is asked for, unknown ones as numbers', () => {
  const serializer = serializerOf({ enums: 'name' });
  const order = Object.assign(new OrderPlaced(), { currency: 'CZK', accepted: ['EUR', 99] });
  expect(trip(order, serializer)).toMatchObject({ currency: 'CZK', accepted: ['EUR', 99] });
  const unset = Object.assign(new OrderPlaced(), { currency: undefined });
  expect(trip(unset, serializer)).toHaveProperty('currency', 'CURRENCY_UNSPECIFIED');
  const misspelt = Object.assign(new OrderPlaced(), { currency: 'EURO' });
  expect(refused(() => serializer.serialize(misspelt)).path).toEqual(['currency']);
});

describe('classes', () => {
  test('are bound by their manifest, or to the type given with them', () => {
    class Cancelled {
      orderId = 'o-1';
      reason = '';
    }
    const serializer = serializerOf({ classes: [OrderPlaced, [Cancelled, 'shop.v1.OrderCancelled']] });
    expect(serializer.manifest(new Cancelled())).toBe('shop.v1.OrderCancelled');
    expect(trip(new Cancelled(), serializer)).toBeInstanceOf(Cancelled);
  });

  test('bound to a type that is not there are refused at the start', () => {
    class Unknown {}
    expect(() => serializerOf({ classes: [Unknown] })).toThrow(
      expect.objectContaining({ code: 'CONFIGURATION', message: expect.stringContaining('"Unknown"') }),
    );
    class Twice {}
    expect(() => serializerOf({ classes: [OrderPlaced, [Twice, name]] })).toThrow(
      expect.objectContaining({ code: 'CONFIGURATION' }),
    );
  });

  test('are neither changed nor constructed', () => {
    let constructed = 0;
    class Cancelled {
      constructor() {
        constructed += 1;
      }
      shout(): string {
        return 'unchanged';
      }
    }
    const before = Object.getOwnPropertyNames(Cancelled.prototype);
    const serializer = serializerOf({ classes: [[Cancelled, 'shop.v1.OrderCancelled']] });
    const received = trip(new Cancelled(), serializer) as Cancelled;
    expect(received.shout()).toBe('unchanged');
    expect(constructed).toBe(1);
    expect(Object.getOwnPropertyNames(Cancelled.prototype)).toEqual(before);
    expect(Object.getOwnPropertyNames(Cancelled)).not.toContain('$type');
  });

  test('give only their own fields, not methods of the same name', () => {
    class Cancelled {
      orderId = 'o-1';
      get reason(): string {
        return 'computed';
      }
    }
    const content = serializerOf({ classes: [[Cancelled, 'shop.v1.OrderCancelled']] }).serialize(
      new Cancelled(),
    );
    const plain = new ProtobufSerializer({ types });
    expect(plain.deserialize(content as Uint8Array, 'shop.v1.OrderCancelled')).toMatchObject({ reason: '' });
  });

  test.each([undefined, null, 1, 'text', [], {}, new (class Stranger {})()])('%o has no type', (value) => {
    refused(() => serializerOf().manifest(value));
    refused(() => serializerOf().serialize(value));
  });
});

describe('names that JavaScript has its own meaning for', () => {
  const root = protobuf.parse(
    'syntax = "proto3"; message Odd { string constructor = 1; string toString = 2; map<string, string> map = 3; map<string, Odd> nested = 4; }',
  ).root;
  class Odd {}
  const serializer = new ProtobufSerializer({ types: reflectedTypes(root), classes: [Odd] });

  test('are fields like any other', () => {
    const value = Object.assign(new Odd(), { constructor: 'c', toString: 't', map: {}, nested: {} });
    const received = trip(value, serializer);
    expect(sorted(received)).toEqual(sorted(value));
    expect(sorted(trip(new Odd(), serializer))).toEqual([
      ['constructor', ''],
      ['map', {}],
      ['nested', {}],
      ['toString', ''],
    ]);
  });

  test('are keys like any other, and change no prototype', () => {
    const value = Object.assign(new Odd(), JSON.parse('{"map":{"__proto__":"p","constructor":"c"}}'));
    const received = trip(value, serializer) as { map: Record<string, string> };
    expect(Object.entries(received.map)).toEqual([
      ['__proto__', 'p'],
      ['constructor', 'c'],
    ]);
    expect(Object.getPrototypeOf(received.map)).toBe(Object.prototype);
    const deep = Object.assign(new Odd(), JSON.parse('{"nested":{"__proto__":{"map":{"polluted":"1"}}}}'));
    trip(deep, serializer);
    expect({}).not.toHaveProperty('polluted');
    expect({}).not.toHaveProperty('map');
  });
});

describe('content that is wrong', () => {
  const content = serializerOf().serialize(new OrderPlaced({ orderId: 'o-1', lines: [line] })) as Uint8Array;

  test('has an unknown manifest, or none', () => {
    for (const manifest of [
      undefined,
      '',
      'shop.v1.Nothing',
      'constructor',
      '__proto__',
      'shop.v1',
      'x'.repeat(100_000),
    ]) {
      expect(refused(() => serializerOf().deserialize(content, manifest)).message.length).toBeLessThan(400);
    }
  });

  test('is truncated within a field', () => {
    expect(refused(() => serializerOf().deserialize(content.slice(0, -1), name)).message).toContain(name);
  });

  test('claims lengths that it does not have', () => {
    const claims = [
      [0x0a, 0xff, 0xff, 0xff, 0xff, 0x07],
      [0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
      [0x22, 0xff, 0xff, 0xff, 0x7f],
      [0x3a, 0xff, 0xff, 0xff, 0x7f],
      [0x62, 0xff, 0xff, 0xff, 0x7f, 1],
    ];
    for (const bytes of claims) refused(() => serializerOf().deserialize(Uint8Array.from(bytes), name));
  });

  test('is text that is not UTF-8', () => {
    refused(() => serializerOf().deserialize(Uint8Array.of(0x0a, 2, 0xc3, 0x28), name));
  });

  test('is nested without end', () => {
    let nested: number[] = [];
    for (let depth = 0; depth < 2_000; depth += 1) nested = [0x9a, 0x01, ...varint(nested.length), ...nested];
    refused(() => serializerOf().deserialize(Uint8Array.from(nested), name));
    const groups = new Uint8Array(100_000).fill(0x7b);
    refused(() => serializerOf().deserialize(groups, name));
  });

  test('is longer than the limit, published or received', () => {
    const small = serializerOf({ maxContentBytes: 100 });
    const long = new OrderPlaced({ signature: new Uint8Array(200) });
    expect(refused(() => small.serialize(long)).message).toContain('maxContentBytes');
    expect(refused(() => small.deserialize(new Uint8Array(101), name)).message).toContain('maxContentBytes');
  });

  test('asks for more objects than the limit, published or received', () => {
    const small = serializerOf({ maxFields: 10 });
    const lines = Array.from({ length: 11 }, () => line);
    expect(refused(() => small.serialize(new OrderPlaced({ lines }))).message).toContain('maxFields');
    const emptyLines = Uint8Array.from({ length: 22 }, (_, index) => (index % 2 === 0 ? 0x22 : 0));
    expect(refused(() => small.deserialize(emptyLines, name)).message).toContain('maxFields');
  });

  // 4 MiB, the most that is read, of what becomes the most: the objects and numbers of each byte are counted.
  test.each([
    ['empty messages', 0x22, 'maxFields'],
    ['64-bit integers, packed', 0x62, 'maxFields'],
    ['enum values, packed', 0x6a, undefined],
  ])('takes bounded memory: %s', (_, tag, refusedFor) => {
    const hostile = new Uint8Array(4 * 1024 * 1024);
    if (tag === 0x22) for (let at = 0; at < hostile.length; at += 2) hostile[at] = tag;
    else hostile.set([tag, ...varint(hostile.length - 5)]);
    const before = process.memoryUsage().heapUsed;
    const read = () => serializerOf().deserialize(hostile, name);
    if (refusedFor === undefined) expect(read()).toHaveProperty('accepted.length', hostile.length - 5);
    else expect(refused(read).message).toContain(refusedFor);
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(128 * 1024 * 1024);
  });

  test('may be text where the bytes are text, as some brokers give it', () => {
    const ascii = serializerOf().serialize(new OrderPlaced({ orderId: 'ascii' })) as Uint8Array;
    expect(serializerOf().deserialize(Buffer.from(ascii).toString('utf8'), name)).toMatchObject({
      orderId: 'ascii',
    });
  });

  test('is not changed by who changes the bytes that arrived', () => {
    const signed = serializerOf().serialize(
      new OrderPlaced({ signature: Uint8Array.of(1, 2, 3) }),
    ) as Uint8Array;
    const copy = Uint8Array.from(signed);
    for (const serializer of [serializerOf(), new ProtobufSerializer({ types })]) {
      (serializer.deserialize(signed, name) as { signature: Uint8Array }).signature.fill(0);
      expect(signed).toEqual(copy);
    }
  });
});

describe('types that cannot be used', () => {
  test('are refused at the start', async () => {
    await expect(loadProtoFiles('/nowhere/missing.proto')).rejects.toMatchObject({ code: 'CONFIGURATION' });
    const unresolved = { nested: { M: { fields: { a: { type: 'Missing', id: 1 } } } } };
    expect(() => descriptorTypes(unresolved)).toThrow(expect.objectContaining({ code: 'CONFIGURATION' }));
    expect(() => staticTypes({ nothing: 1 })).toThrow(expect.objectContaining({ code: 'CONFIGURATION' }));
  });

  test('are those of a static module for another copy of protobufjs', () => {
    const Foreign = Object.assign(() => undefined, {
      getTypeUrl: () => '/x.Foreign',
      encode: () => ({ finish: () => new Uint8Array() }),
      decode: (): object => {
        throw new Error('illegal buffer');
      },
      fromObject: () => ({}),
      toObject: () => ({}),
    });
    expect(() => staticTypes({ Foreign })).toThrow(/one copy of protobufjs/);
  });
});

test('limits are above 0', () => {
  for (const limits of [{ maxFields: 0 }, { maxContentBytes: Number.NaN }]) {
    expect(() => serializerOf(limits)).toThrow(expect.objectContaining({ code: 'CONFIGURATION' }));
  }
});

function sorted(value: unknown): [string, unknown][] {
  return Object.entries(value as object).sort(([one], [other]) => one.localeCompare(other));
}

function varint(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...varint(value >>> 7)];
}
