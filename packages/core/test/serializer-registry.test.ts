import { runInNewContext } from 'node:vm';
import { SerializationError, type Serializer, SerializerRegistry } from '@melange/core';
import { describe, expect, test } from 'vitest';

/** Tells by its content which serializer made it. */
function serializer(identifier: number, name = `s${identifier}`): Serializer {
  return {
    identifier,
    manifest: () => `${name}-manifest`,
    serialize: (value) => `${name}:${JSON.stringify(value)}`,
    deserialize: (content, manifest) => {
      if (!String(content).startsWith(`${name}:`)) throw new SerializationError(`not of ${name}`);
      return { name, manifest };
    },
  };
}

abstract class Event {
  readonly at = 1;
}
class OrderEvent extends Event {}
class OrderPlaced extends OrderEvent {}
class OrderShipped extends OrderEvent {}
class Payment {
  readonly amount = 1;
}

const serializers = {
  json: serializer(1),
  protobuf: serializer(3),
  own: serializer(9),
  base: serializer(10),
};
const registry = new SerializerRegistry({
  serializers,
  // The general before the special: the order does not count.
  bindings: [
    [Event, 'base'],
    [OrderEvent, 'protobuf'],
    [OrderPlaced, 'own'],
  ],
  default: 'json',
});

describe('on the way out', () => {
  test.each([
    ['its own class', new OrderPlaced(), 9],
    ['the nearest base class, of several', new OrderShipped(), 3],
    ['a base class that is abstract', new (class Other extends Event {})(), 10],
    ['none: the default, for an instance', new Payment(), 1],
    ['none: the default, for a plain object', { constructor: OrderPlaced }, 1],
    ['none: the default, for text', 'text', 1],
    ['none: the default, for null', null, 1],
    ['none: the default, for an object without a prototype', Object.create(null), 1],
  ])('the most specific binding counts: %s', (_, value, serializerId) => {
    expect(registry.serialize(value)).toMatchObject({ serializerId, manifest: `s${serializerId}-manifest` });
  });

  test.each([
    ['a promise', Promise.resolve('later')],
    ['a promise of another realm', runInNewContext("Promise.resolve('later')") as Promise<string>],
  ])('what a serializer promises is waited for, with its marks: %s', async (_, promise) => {
    const slow: Serializer = { ...serializer(1), serialize: () => promise };
    const waiting = new SerializerRegistry({ serializers: { slow }, default: 'slow' });
    expect(await waiting.serialize('x')).toEqual({
      content: 'later',
      manifest: 's1-manifest',
      serializerId: 1,
    });
  });
});

describe('on the way in', () => {
  test.each([1, 3, 9, 10])(
    'the identifier %i leads to its serializer, whatever the bindings say',
    (serializerId) => {
      const read = registry.deserialize({ content: `s${serializerId}:`, manifest: 'any', serializerId });
      expect(read).toEqual({ name: `s${serializerId}`, manifest: 'any' });
    },
  );

  test('a foreign message goes to the default', () => {
    const foreign = { content: 's1:', manifest: undefined, serializerId: undefined };
    expect(registry.deserialize(foreign)).toEqual({ name: 's1', manifest: undefined });
  });

  test.each([0, 4, -1, 1.5, Number.MAX_SAFE_INTEGER])(
    '%d is nobody: the error lists who is there',
    (serializerId) => {
      const message = { content: 's1:', manifest: 'any', serializerId };
      expect(() => registry.deserialize(message)).toThrow(
        expect.objectContaining({ code: 'SERIALIZATION', message: expect.stringContaining('1, 3, 9, 10') }),
      );
    },
  );

  test("Python's pickle is refused before anyone sees it", () => {
    const pickled = { content: 's1:', manifest: 'Payment', serializerId: 2 };
    expect(() => registry.deserialize(pickled)).toThrow(
      expect.objectContaining({ code: 'SERIALIZATION', message: expect.stringContaining('pickle') }),
    );
  });
});

describe('at the start', () => {
  const misconfigured: [string, () => unknown][] = [
    [
      'two serializers of one identifier',
      () => new SerializerRegistry({ serializers: { a: serializer(5), b: serializer(5) }, default: 'a' }),
    ],
    [
      "pickle's identifier",
      () => new SerializerRegistry({ serializers: { a: serializer(2) }, default: 'a' }),
    ],
    [
      'a default that is not there',
      () => new SerializerRegistry<string>({ serializers: { a: serializer(1) }, default: 'toString' }),
    ],
    [
      'a binding to nobody',
      () =>
        new SerializerRegistry<string>({
          serializers: { a: serializer(1) },
          bindings: [[Payment, 'b']],
          default: 'a',
        }),
    ],
  ];
  test.each(misconfigured)('%s is refused', (_, make) => {
    expect(make).toThrow(expect.objectContaining({ code: 'CONFIGURATION' }));
  });
});
