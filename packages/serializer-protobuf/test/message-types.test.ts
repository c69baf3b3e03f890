import { defineMessage, lift, MelangeError, SerializerRegistry } from '@melange/core';
import { JsonSerializer } from '@melange/serializer-json';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { descriptorTypes, ProtobufSerializer } from '../src/index.ts';
import { descriptor } from './shop.ts';

const types = descriptorTypes(descriptor);
const schema = z.object({ orderId: z.string().min(1), reason: z.string() });

class OrderCancelled extends defineMessage('shop.v1.OrderCancelled', schema) {}

describe('a defineMessage type bound to a protobuf type', () => {
  const protobuf = new ProtobufSerializer({ types, classes: [OrderCancelled] });
  const cancelled = new OrderCancelled({ orderId: 'o-1', reason: 'late' });

  test('arrives as an instance', () => {
    const received = protobuf.deserialize(
      protobuf.serialize(cancelled) as Uint8Array,
      OrderCancelled.manifest,
    );
    expect(received).toBeInstanceOf(OrderCancelled);
    expect(received).toEqual(cancelled);
  });

  test('is validated when it is published and when it is received', () => {
    const unvalidated = new ProtobufSerializer({ types });
    const type = types.get(OrderCancelled.manifest);
    const content = type?.encode({ orderId: '' }) as Uint8Array;
    expect(unvalidated.deserialize(content, OrderCancelled.manifest)).toMatchObject({ orderId: '' });
    for (const run of [
      () => protobuf.serialize(new OrderCancelled({ orderId: '', reason: '' })),
      () => protobuf.deserialize(content, OrderCancelled.manifest),
    ]) {
      expect(run).toThrow(expect.objectContaining({ code: 'SERIALIZATION', path: ['orderId'] }));
    }
  });

  test('an empty body is an empty message of its type', () => {
    const lenient = z.object({ orderId: z.string(), reason: z.string() });
    class Empty extends defineMessage('shop.v1.OrderCancelled', lenient) {}
    const serializer = new ProtobufSerializer({ types, classes: [Empty] });
    for (const body of ['', new Uint8Array()]) {
      expect(serializer.deserialize(body, Empty.manifest)).toEqual(new Empty({ orderId: '', reason: '' }));
    }
  });

  test('means the same in JSON: the handler cannot tell', () => {
    const json = new JsonSerializer([OrderCancelled]);
    const arrivals = [protobuf, json].map((serializer) =>
      serializer.deserialize(serializer.serialize(cancelled) as string, serializer.manifest(cancelled)),
    );
    expect(arrivals[0]).toEqual(arrivals[1]);
    expect(Object.getPrototypeOf(arrivals[0])).toBe(Object.getPrototypeOf(arrivals[1]));
  });

  test('is published as the registry says and read by its identifier, whatever that says', () => {
    const options = { serializers: { json: new JsonSerializer([OrderCancelled]), protobuf } };
    const inProtobuf = new SerializerRegistry({
      ...options,
      bindings: [[OrderCancelled, 'protobuf']],
      default: 'json',
    });
    const inJson = new SerializerRegistry({ ...options, default: 'json' });
    for (const [registry, identifier] of [
      [inProtobuf, 3],
      [inJson, 1],
    ] as const) {
      const serialized = registry.serialize(cancelled);
      expect(serialized).toMatchObject({ serializerId: identifier, manifest: 'shop.v1.OrderCancelled' });
      for (const reader of [inProtobuf, inJson]) {
        expect(reader.deserialize(serialized as never)).toEqual(cancelled);
      }
    }
  });
});

describe('a type that reads an earlier protobuf type', () => {
  const earlier = z.object({ sku: z.string(), quantity: z.number(), priceInCents: z.bigint() });
  class Order extends defineMessage('shop.v1.OrderCancelled', schema, {
    alsoReads: [
      lift('shop.v1.Line', earlier, ({ sku, quantity }) => ({ orderId: sku, reason: `${quantity}` })),
    ],
  }) {}

  test('gets it lifted', () => {
    const protobuf = new ProtobufSerializer({ types, classes: [Order] });
    const content = types.get('shop.v1.Line')?.encode({ sku: 'a', quantity: 3 }) as Uint8Array;
    expect(protobuf.deserialize(content, 'shop.v1.Line')).toEqual(new Order({ orderId: 'a', reason: '3' }));
  });

  test('needs that type among the types', () => {
    const only = new Map([...types].filter(([name]) => name !== 'shop.v1.Line'));
    try {
      new ProtobufSerializer({ types: only, classes: [Order] });
      expect.unreachable();
    } catch (error) {
      expect(MelangeError.is(error, 'CONFIGURATION')).toBe(true);
      expect((error as Error).message).toContain('shop.v1.Line');
    }
  });
});

test('an asynchronous schema is waited for', async () => {
  const slow = z.object({ orderId: z.string().refine(async (id) => id !== 'bad'), reason: z.string() });
  class Slow extends defineMessage('shop.v1.OrderCancelled', slow) {}
  const protobuf = new ProtobufSerializer({ types, classes: [Slow] });
  const good = new Slow({ orderId: 'good', reason: '' });
  expect(await protobuf.deserialize(await protobuf.serialize(good), Slow.manifest)).toEqual(good);
  await expect(protobuf.serialize(new Slow({ orderId: 'bad', reason: '' }))).rejects.toMatchObject({
    code: 'SERIALIZATION',
  });
});
