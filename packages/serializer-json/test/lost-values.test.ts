import { runInNewContext } from 'node:vm';
import { SerializationError } from '@melange/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { JsonSerializer } from '../src/index.ts';

class Amount {
  readonly cents: unknown;
  constructor(cents: unknown) {
    this.cents = cents;
  }
}

class Money {
  readonly currency = 'EUR';
  readonly #cents: number;
  constructor(cents: number) {
    this.#cents = cents;
  }
  isMore(than: Money): boolean {
    return this.#cents > than.#cents;
  }
}

class Bag {
  readonly things: unknown[] = [];
  put(thing: unknown): void {
    this.#put(thing);
  }
  #put(thing: unknown): void {
    this.things.push(thing);
  }
}

/** As compilers write private fields for old targets. */
const _Lowered_cents = new WeakMap<object, number>();
class Lowered {
  readonly currency = 'EUR';
  constructor(cents: number) {
    _Lowered_cents.set(this, cents);
  }
}

class Priced {
  readonly net: number;
  constructor(net: number) {
    this.net = net;
  }
  get gross(): number {
    return this.net * 2;
  }
}
class PricedTwice extends Priced {}

class Tags extends Set<string> {
  readonly none = null;
}

class Hidden {
  constructor(secret: unknown) {
    Object.defineProperty(this, 'secret', { value: secret });
  }
}

const json = new JsonSerializer([Amount]);

function refusal(value: unknown): SerializationError {
  try {
    json.serialize(value);
  } catch (error) {
    expect(error).toBeInstanceOf(SerializationError);
    return error as SerializationError;
  }
  throw new Error('nothing was refused');
}

describe('what JSON would silently make null, or an object without its content, is refused with its path', () => {
  const values: readonly (readonly [what: string, value: unknown])[] = [
    ['NaN', Number.NaN],
    ['Infinity', Number.POSITIVE_INFINITY],
    ['-Infinity', Number.NEGATIVE_INFINITY],
    ['a bigint', 10n],
    ['an invalid Date', new Date(Number.NaN)],
    ['of the class Map', new Map([['a', 1]])],
    ['of the class Set', new Set([1])],
    ['of the class Error', new Error('lost')],
    ['of the class Promise', Promise.resolve(1)],
    ['of the class RegExp', /a/],
    ['of the class Uint8Array', Uint8Array.of(1, 2)],
    ['of the class Uint8Array', new Uint8Array()],
    ['of the class ArrayBuffer', new ArrayBuffer(8)],
  ];

  test.each(values)('%s', (what, value) => {
    const inside = refusal({ items: [{ price: 1 }, { price: value }] });
    expect(inside.path).toEqual(['items', 1, 'price']);
    expect(inside.message).toBe(`JSON cannot carry this "json": items[1].price is ${what}.`);
    expect(refusal(new Amount(value)).message).toBe(`JSON cannot carry this "Amount": cents is ${what}.`);
    expect(refusal([1, value]).path).toEqual([1]);
    if (typeof value !== 'object') expect(refusal(value).message).toContain(`(root) is ${what}`);
  });

  test.each<[what: string, value: object]>([
    ['of the class Number', new Number(1)],
    ['of the class String', new String('a')],
    ['of the class Boolean', new Boolean(false)],
    ['of the class Symbol', Object(Symbol('s'))],
    ['of the class Array Iterator, which has no fields', [1].values()],
    ['of the class Map Iterator, which has no fields', new Map().keys()],
    [
      'of the class Generator, which has no fields',
      (function* () {
        yield 1;
      })(),
    ],
    ['of the class Object, which has no fields', Object.create({})],
    ['of the class Object, whose "a" is no field of the instance', Object.create({ a: 1 })],
    ['of the class Money, whose private #cents is in no field', new Money(1)],
    ['of the class Bag, whose private #put is in no field', new Bag()],
    ['of the class Lowered, whose private field is in no field', new Lowered(1)],
    ['of the class Priced, whose "gross" is no field of the instance', new Priced(1)],
    ['of the class PricedTwice, whose "gross" is no field of the instance', new PricedTwice(1)],
    ['of the class Tags', new Tags(['a'])],
    ['of the class Hidden, which has no fields', new Hidden(1)],
  ])('%s', (what, value) => {
    const inside = refusal({ items: [{ price: value }], other: 'a' });
    expect(inside.path).toEqual(['items', 0, 'price']);
    expect(inside.message).toBe(`JSON cannot carry this "json": items[0].price is ${what}.`);
    expect(refusal(new Amount([value])).path).toEqual(['cents', 0]);
    expect(refusal({ toJSON: () => ({ inside: value }) }).path).toEqual(['inside']);
  });

  test.each([new URLSearchParams('a=1'), new Headers({ a: '1' }), new FormData(), new Blob(['a'])])(
    'an object of the web platform: %s',
    (value) => {
      const { path, message } = refusal({ query: value, text: 'not empty' });
      expect([path, message]).toEqual([['query'], expect.stringContaining(value.constructor.name)]);
    },
  );

  test.each([[undefined], [() => 1], [Symbol('s')]])('%s in a list', (value) => {
    expect(refusal({ list: ['a', value] }).path).toEqual(['list', 1]);
  });

  test('a hole in a list', () => {
    expect(refusal({ list: new Array(2) }).path).toEqual(['list', 0]);
  });

  test('also within what a toJSON gives', () => {
    expect(refusal({ price: { toJSON: () => ({ net: Number.NaN }) } }).path).toEqual(['price', 'net']);
  });

  test('and a private key of an object is not told whole', () => {
    const { message } = refusal({ [`card${'4'.repeat(1_000)}`]: Number.NaN });
    expect(message.length).toBeLessThan(300);
  });
});

/** Private in words and static only: no instance has anything that is not seen. */
class Speaks {
  static #made = 0;
  readonly a = 1;
  constructor() {
    Speaks.#made += 1; // not this.#secret
  }
  /* nor this.#other */
  tag(): string {
    return `'#fff' ${'this.#x'} #${Speaks.#made}`.replace(/#x/, '');
  }
}

class Counted {
  readonly count = 1;
  next(): number {
    return this.count + 1;
  }
}

class Written {
  readonly #cents: number;
  constructor(cents: number) {
    this.#cents = cents;
  }
  toJSON(): object {
    return { cents: this.#cents };
  }
}

function field(name: string, value: unknown): PropertyDescriptorMap {
  return { [name]: { value, enumerable: true } };
}

describe('what JSON leaves out, or writes in a form of its own, is carried', () => {
  test.each<[string, unknown, string]>([
    ['an absent field', { a: undefined, b: () => 1, c: 1 }, '{"c":1}'],
    ['a null', { a: null, list: [null] }, '{"a":null,"list":[null]}'],
    ['the word null', { a: 'null', b: '{}' }, '{"a":"null","b":"{}"}'],
    ['an empty object', { a: {}, b: Object.create(null) }, '{"a":{},"b":{}}'],
    ['an object with a number for a key', { 0: 'a' }, '{"0":"a"}'],
    ['a Date', { at: new Date(0) }, '{"at":"1970-01-01T00:00:00.000Z"}'],
    ['a Buffer', { bytes: Buffer.of(1), none: null }, '{"bytes":{"type":"Buffer","data":[1]},"none":null}'],
    ['an instance without fields', { a: new (class Empty {})() }, '{"a":{}}'],
    ['an instance with methods', { a: new Amount(1), b: new Counted() }, '{"a":{"cents":1},"b":{"count":1}}'],
    [
      'an accessor that the instance covers',
      { a: Object.create(Priced.prototype, field('gross', 3)) },
      '{"a":{"gross":3}}',
    ],
    [
      'what a getter of its own gives',
      Object.defineProperty({}, 'a', { get: () => 1, enumerable: true }),
      '{"a":1}',
    ],
    ['a class that says how it is written', { a: new Written(5) }, '{"a":{"cents":5}}'],
    ['an object of another realm', { a: runInNewContext('({ b: [1], c: {} })') }, '{"a":{"b":[1],"c":{}}}'],
    ['a value of another realm', runInNewContext('({ b: 1 })'), '{"b":1}'],
    ['a class that only speaks of privacy', { a: new Speaks() }, '{"a":{"a":1}}'],
    ['a toJSON that gives null', { a: { toJSON: () => null } }, '{"a":null}'],
    ['minus zero', { a: -0, b: null }, '{"a":0,"b":null}'],
  ])('%s', (_, value, text) => {
    expect(json.serialize(value)).toBe(text);
  });

  test('a class with a tag of its own', () => {
    class Tagged {
      readonly [Symbol.toStringTag] = 'Money';
      readonly none = null;
    }
    expect(json.serialize({ money: new Tagged() })).toBe('{"money":{"none":null}}');
  });

  test('a bigint that the application taught to be written', () => {
    const prototype = BigInt.prototype as { toJSON?: unknown };
    prototype.toJSON = function (this: bigint) {
      return String(this);
    };
    try {
      expect(json.serialize({ amount: 2n ** 63n, none: null })).toBe(
        '{"amount":"9223372036854775808","none":null}',
      );
    } finally {
      delete prototype.toJSON;
    }
  });
});

test('what is published is what arrives: a value either comes back the same or is refused', () => {
  const number = fc.oneof(fc.double(), fc.bigInt(), fc.integer());
  const leaf = fc.oneof(
    number,
    fc.string(),
    fc.boolean(),
    fc.constantFrom<unknown>(null, new Map([[1, 2]]), new Set([1]), Uint8Array.of(7), /x/),
  );
  const { value } = fc.letrec((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      leaf,
      fc.array(tie('value')),
      fc.dictionary(fc.string(), tie('value'), { noNullPrototype: true }),
    ),
  }));
  let carried = 0;
  const trip = fc.property(value, (sent) => {
    let content: string;
    try {
      content = json.serialize(sent) as string;
    } catch (error) {
      expect(error).toBeInstanceOf(SerializationError);
      return;
    }
    carried += 1;
    // JSON has one zero.
    expect(json.deserialize(content, 'json')).toEqual(withOneZero(sent));
  });
  fc.assert(trip, { numRuns: 2_000, seed: 20_260_101 });
  expect(carried).toBeGreaterThan(200);
});

function withOneZero(value: unknown): unknown {
  if (typeof value === 'number') return value + 0;
  if (Array.isArray(value)) return value.map(withOneZero);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, withOneZero(field)]));
}
