import { defineMessage, type MelangeError, SerializationError } from '@melange/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { JsonSerializer, type JsonSerializerOptions } from '../src/index.ts';

const refusing = new JsonSerializer();
const bigints = new JsonSerializer([], { largeIntegers: 'bigint' });
const rounding = new JsonSerializer([], { largeIntegers: 'round' });

function refusal(act: () => unknown): SerializationError {
  try {
    act();
  } catch (error) {
    expect(error).toBeInstanceOf(SerializationError);
    return error as SerializationError;
  }
  throw new Error('nothing was refused');
}

describe('whole numbers that a number would round', () => {
  const content = '{"items":[{"id":1},{"id": -9007199254740993 }]}';

  test('are refused by default, with their path and without their digits', () => {
    const error = refusal(() => refusing.deserialize(content, 'json'));
    expect(error.path).toEqual(['items', 1, 'id']);
    expect(error.message).toContain('items[1].id');
    expect(error.message).toContain('largeIntegers');
    expect(error.message).not.toContain('9007');
  });

  test('arrive as bigint', () => {
    expect(bigints.deserialize(content, 'json')).toEqual({ items: [{ id: 1 }, { id: -9007199254740993n }] });
  });

  test('are rounded where that is wanted', () => {
    expect(rounding.deserialize(content, 'json')).toEqual({
      items: [{ id: 1 }, { id: -9_007_199_254_740_992 }],
    });
  });

  test.each(['12345678901234567891', '  12345678901234567891\n', '[12345678901234567891]'])(
    'wherever they are: %j',
    (text) => {
      expect([bigints.deserialize(text, 'json')].flat()).toEqual([12345678901234567891n]);
      refusal(() => refusing.deserialize(text, 'json'));
    },
  );

  test('whose digits a number keeps, or that are none, are taken', () => {
    const kept = [2 ** 53, 2 ** 60, 1e20, Number.MAX_SAFE_INTEGER, 0.1 + 0.2, 1.7976931348623157e308];
    expect(refusing.deserialize(JSON.stringify(kept), 'json')).toEqual(kept);
    const text = JSON.stringify({
      card: '4111111111111111234',
      12345678901234567890: '" 12345678901234567891',
    });
    for (const serializer of [refusing, bigints, rounding]) {
      expect(JSON.stringify(serializer.deserialize(text, 'json'))).toBe(text);
    }
  });

  test('beside strings with quotes and backslashes', () => {
    const around = ['\\', '"', '\\"', '", 12345678901234567890, "', '\\\\'];
    const text = `[${around.map((one) => JSON.stringify(one)).join(',12345678901234567891,')}]`;
    const read = bigints.deserialize(text, 'json') as unknown[];
    expect(read.filter((value) => typeof value === 'string')).toEqual(around);
    expect(read.filter((value) => value === 12345678901234567891n)).toHaveLength(around.length - 1);
  });

  test.each([
    '[012345678901234567891]',
    '[12345678901234567891',
    '[12345678901234567891 1]',
    '12345678901234567891"a"',
    'tru12345678901234567891',
    '"a ,12345678901234567891',
    '[--12345678901234567891]',
  ])('do not make JSON of %s', (text) => {
    for (const serializer of [refusing, bigints]) {
      expect(refusal(() => serializer.deserialize(text, 'json')).message).toContain('is not JSON');
    }
  });

  test('pollute nothing', () => {
    const read = bigints.deserialize('{"__proto__":{"id":12345678901234567891}}', 'json') as object;
    expect(Object.getPrototypeOf(read)).toBe(Object.prototype);
    expect(Object.keys(read)).toEqual(['__proto__']);
  });

  test('are found in megabytes of quotes and backslashes, and in deep nesting, without harm', () => {
    const hostile = JSON.stringify('\\"'.repeat(1_000_000));
    expect(bigints.deserialize(`[${hostile},12345678901234567891]`, 'json')).toHaveLength(2);
    const deep = `${'['.repeat(100_000)}12345678901234567891${']'.repeat(100_000)}`;
    for (const serializer of [refusing, bigints]) refusal(() => serializer.deserialize(deep, 'json'));
  });
});

test('what Python, Java or Go writes arrives as it was', () => {
  const value = fc.dictionary(fc.string(), fc.oneof(fc.bigInt(), fc.string(), fc.array(fc.bigInt())));
  const trip = fc.property(value, (sent) => {
    // As other languages write them.
    const text = JSON.stringify(sent, (_, field: unknown) =>
      typeof field === 'bigint' ? `#${field}#` : field,
    )
      .replaceAll('"#', '')
      .replaceAll('#"', '');
    fc.pre(!JSON.stringify(Object.keys(sent)).includes('#') && isJson(text));
    const seen = (field: unknown): unknown =>
      typeof field === 'bigint' && Number.isSafeInteger(Number(field)) ? Number(field) : field;
    const expected = Object.entries(sent).map(([key, field]) => [
      key,
      Array.isArray(field) ? field.map(seen) : seen(field),
    ]);
    expect(Object.entries(bigints.deserialize(text, 'json') as object).sort()).toEqual(expected.sort());
  });
  fc.assert(trip, { numRuns: 1_000, seed: 20_260_101 });
});

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

describe('with largeIntegers: bigint', () => {
  test('what arrived can be published again', () => {
    const text = '{"id":12345678901234567891,"list":[-9007199254740993,1],"text":"a"}';
    expect(bigints.serialize(bigints.deserialize(text, 'json'))).toBe(text);
  });

  test('a bigint that would arrive as a number is refused, and every other loss too', () => {
    expect(refusal(() => bigints.serialize({ a: { id: 5n } })).message).toBe(
      'JSON cannot carry this "json": a.id is a bigint that would arrive as a number.',
    );
    expect(refusal(() => bigints.serialize({ id: 2n ** 64n, other: [Number.NaN] })).path).toEqual([
      'other',
      0,
    ]);
    const cycle: Record<string, unknown> = { id: 2n ** 64n };
    cycle.self = cycle;
    expect(refusal(() => bigints.serialize(cycle)).message).toMatch(/circular/i);
  });

  test('a schema sees them, on both sides', () => {
    class Paid extends defineMessage('Paid', z.object({ id: z.bigint() })) {}
    const typed = new JsonSerializer([Paid], { largeIntegers: 'bigint' });
    const text = typed.serialize(new Paid({ id: 2n ** 63n }));
    expect(text).toBe('{"id":9223372036854775808}');
    const read = typed.deserialize(text as string, 'Paid');
    expect(read).toBeInstanceOf(Paid);
    expect(read).toEqual({ id: 2n ** 63n });
  });
});

test('without it a bigint is refused', () => {
  for (const serializer of [refusing, rounding]) {
    expect(refusal(() => serializer.serialize({ id: 2n ** 64n })).path).toEqual(['id']);
  }
});

test('another choice is refused', () => {
  const options = { largeIntegers: 'bigInt' } as unknown as JsonSerializerOptions;
  expect(() => new JsonSerializer([], options)).toThrow(
    expect.objectContaining<Partial<MelangeError>>({ code: 'CONFIGURATION' }),
  );
});
