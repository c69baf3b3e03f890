import { defineMessage, SerializationError, type StandardSchema } from '@melange/core';
import { JsonSerializer } from '@melange/serializer-json';
import { describe, expect, test } from 'vitest';

interface PriceFields {
  readonly items: readonly { readonly price: number }[];
}

function priceResult(
  value: unknown,
): { value: PriceFields } | { issues: { message: string; path: PropertyKey[] }[] } {
  const items = (value as PriceFields).items ?? [];
  const bad = items.findIndex(({ price }) => typeof price !== 'number');
  if (bad === -1) return { value: value as PriceFields };
  return { issues: [{ message: 'Expected a number', path: ['items', bad, 'price'] }] };
}

const priceSchema: StandardSchema<unknown, PriceFields> = {
  '~standard': { version: 1, vendor: 'test', validate: priceResult },
};
const slowPriceSchema: StandardSchema<unknown, PriceFields> = {
  '~standard': { version: 1, vendor: 'test', validate: async (value) => priceResult(value) },
};

class Plain {
  readonly text: string;
  constructor(text: string) {
    this.text = text.toUpperCase();
  }
}
class Special extends Plain {}
class Basket extends defineMessage('shop.Basket', priceSchema) {}
class SlowBasket extends defineMessage('shop.SlowBasket', slowPriceSchema) {}

const serializer = new JsonSerializer([Plain, Basket, SlowBasket]);

async function failureOf(run: () => unknown): Promise<SerializationError> {
  try {
    await run();
  } catch (error) {
    expect(error).toBeInstanceOf(SerializationError);
    return error as SerializationError;
  }
  throw new Error('nothing was thrown');
}

describe('plain values', () => {
  test.each([[null], [true], [0.5], ['ü€😀'], [[1, [2]]], [{ a: { b: [null] } }], [Object.create(null)]])(
    '%j makes the round trip under the manifest json',
    (value) => {
      expect(serializer.manifest(value)).toBe('json');
      expect(serializer.deserialize(serializer.serialize(value) as string, 'json')).toEqual(value);
    },
  );

  test('a foreign message without manifest is read as JSON, from bytes too', () => {
    expect(serializer.deserialize(new TextEncoder().encode('{"a":1}'), undefined)).toEqual({ a: 1 });
  });

  test.each([[undefined], [() => 1], [Symbol('s')], [10n]])('%s cannot be carried', async (value) => {
    await failureOf(() => serializer.serialize(value));
  });

  test('a cycle cannot be carried', async () => {
    const cycle: { self?: unknown } = {};
    cycle.self = cycle;
    const { message } = await failureOf(() => serializer.serialize(cycle));
    expect(message).toMatch(/circular/);
    expect(message).not.toMatch(/\n/);
  });

  test('a byte order mark is passed over, in bytes and in text', () => {
    expect(serializer.deserialize(new Uint8Array([0xef, 0xbb, 0xbf, 0x31]), 'json')).toBe(1);
    expect(serializer.deserialize('\uFEFF1', 'json')).toBe(1);
  });
});

describe('classes', () => {
  test('are revived as instances without running the constructor', () => {
    const revived = serializer.deserialize('{"text":"lower"}', 'Plain');
    expect(revived).toBeInstanceOf(Plain);
    expect(revived).toEqual(Object.assign(Object.create(Plain.prototype), { text: 'lower' }));
  });

  test('an instance of a subclass travels as the most specific class that is known', () => {
    expect(serializer.manifest(new Special('x'))).toBe('Plain');
    expect(new JsonSerializer([Plain, Special]).manifest(new Special('x'))).toBe('Special');
  });

  test('an unknown class is refused, and so is an unknown manifest', async () => {
    expect((await failureOf(() => serializer.serialize(new Date()))).message).toMatch(/Date is not known/);
    expect((await failureOf(() => serializer.deserialize('{}', 'Nobody'))).message).toMatch(
      /"Nobody" is not known/,
    );
  });

  test('an unknown class is named even where a field is called constructor', async () => {
    const odd = Object.assign(new (class Odd {})(), { constructor: { name: 5 } });
    expect((await failureOf(() => serializer.manifest(odd))).message).toMatch(/class Odd is not known/);
  });

  test('an instance that is no object in JSON is refused: it could not be revived', async () => {
    class Amount {
      readonly cents = 5;
      toJSON(): string {
        return '0.05';
      }
    }
    const amounts = new JsonSerializer([Amount]);
    expect((await failureOf(() => amounts.serialize(new Amount()))).message).toMatch(/not an object in JSON/);
  });

  test('content that is no object is refused', async () => {
    await failureOf(() => serializer.deserialize('[1]', 'Plain'));
  });

  test('two classes of one manifest are refused', () => {
    expect(() => new JsonSerializer([Plain, Plain])).toThrow(
      expect.objectContaining({ code: 'CONFIGURATION' }),
    );
  });
});

describe('validation', () => {
  test.each([
    ['shop.Basket', Basket],
    ['shop.SlowBasket', SlowBasket],
  ])('%s: valid content comes back as an instance', async (manifest, type) => {
    const content = await serializer.serialize(new type({ items: [{ price: 1 }] }));
    const revived = await serializer.deserialize(content, manifest);
    expect(revived).toBeInstanceOf(type);
    expect(revived).toEqual(new type({ items: [{ price: 1 }] }));
  });

  test.each(['shop.Basket', 'shop.SlowBasket'])(
    '%s: a failure names the path, on receipt',
    async (manifest) => {
      const content = '{"items":[{"price":1},{"price":"secret"}]}';
      const error = await failureOf(() => serializer.deserialize(content, manifest));
      expect(error.message).toBe(`"${manifest}" is not valid: items[1].price: Expected a number`);
      expect(error.path).toEqual(['items', 1, 'price']);
    },
  );

  test('what could not be read is not published: the wire form is validated', async () => {
    const basket = new Basket({ items: [{ price: Number.NaN }] });
    expect((await failureOf(() => serializer.serialize(basket))).path).toEqual(['items', 0, 'price']);
  });
});

describe('the wire form', () => {
  interface MomentFields {
    readonly at: Date;
  }
  /** Takes ISO text and gives a `Date`. */
  const momentSchema: StandardSchema<unknown, MomentFields> = {
    '~standard': {
      version: 1,
      vendor: 'test',
      validate(value) {
        const { at } = value as { at: unknown };
        if (typeof at === 'string') return { value: { at: new Date(at) } };
        return { issues: [{ message: 'Expected ISO text', path: [{ key: 'at' }] }] };
      },
    },
  };
  class Moment extends defineMessage('Moment', momentSchema) {}

  test("is what the schema validates when publishing, and the schema's output becomes the fields", () => {
    const moments = new JsonSerializer([Moment]);
    const moment = new Moment({ at: new Date(1_700_000_000_000) });
    const content = moments.serialize(moment);
    expect(content).toBe('{"at":"2023-11-14T22:13:20.000Z"}');
    expect(moments.deserialize(content as string, 'Moment')).toEqual(moment);
  });

  test('a path of segments is told as one of keys', async () => {
    const error = await failureOf(() => new JsonSerializer([Moment]).deserialize('{"at":1}', 'Moment'));
    expect(error.message).toBe('"Moment" is not valid: at: Expected ISO text');
    expect(error.path).toEqual(['at']);
  });
});

describe('schemas that misbehave', () => {
  function typeWith(validate: StandardSchema['~standard']['validate']) {
    const schema: StandardSchema = { '~standard': { version: 1, vendor: 'test', validate } };
    return class Odd extends defineMessage('Odd', schema) {};
  }

  test.each([
    [
      'throws',
      () => {
        throw new TypeError('surprised');
      },
    ],
    ['rejects', () => Promise.reject(new TypeError('surprised'))],
  ])('one that %s is a SerializationError with the cause', async (_, validate) => {
    const odd = new JsonSerializer([typeWith(validate)]);
    const error = await failureOf(() => odd.deserialize('{}', 'Odd'));
    expect(error.message).toBe('The schema of "Odd" threw.');
    expect(error.cause).toBeInstanceOf(TypeError);
  });

  test('many and long issues make a short message', async () => {
    const issues = Array.from({ length: 1_000 }, () => ({ message: 'x'.repeat(10_000) }));
    const odd = new JsonSerializer([typeWith(() => ({ issues }))]);
    const error = await failureOf(() => odd.deserialize('{}', 'Odd'));
    expect(error.message.length).toBeLessThan(1_500);
    expect(error.message).toMatch(/and 995 more$/);
  });
});

describe('hostile content', () => {
  test.each([undefined, 'json', 'Plain'])(
    '__proto__ and constructor keys pollute nothing (manifest %s)',
    (manifest) => {
      const content = '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"text":"t"}';
      const revived = serializer.deserialize(content, manifest) as object;
      expect(({} as { polluted?: number }).polluted).toBeUndefined();
      expect((revived as { polluted?: number }).polluted).toBeUndefined();
      expect(Object.getPrototypeOf(revived)).toBe(manifest === 'Plain' ? Plain.prototype : Object.prototype);
    },
  );

  test.each(['NaN', '{"total":NaN}', '[Infinity]', '{"total":-Infinity}'])(
    "%s, as Python's json.dumps writes it, is no JSON",
    async (content) => {
      await failureOf(() => serializer.deserialize(content, 'json'));
    },
  );

  test('bad bytes and bad JSON are SerializationErrors that do not quote the content', async () => {
    const bytes = await failureOf(() => serializer.deserialize(new Uint8Array([0x22, 0xff, 0x22]), 'json'));
    expect(bytes.message).toMatch(/not UTF-8/);
    const text = await failureOf(() => serializer.deserialize('{"card":"4111', 'json'));
    expect(text.message).toMatch(/not JSON/);
    expect(`${text.message}${text.cause}`).not.toMatch(/4111/);
  });
});
