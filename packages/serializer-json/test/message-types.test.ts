import { MemoryBackend } from '@melange/backend-memory';
import {
  defineMessage,
  lift,
  MelangeError,
  type MessageClass,
  type MessageContent,
  MessageDispatcher,
  manifestsOf,
  QueuePublisher,
  type SerializationError,
  SerializerRegistry,
  SingleDispatchConsumer,
  type StandardSchema,
  silentLogger,
  TopicPublisher,
} from '@melange/core';
import { type } from 'arktype';
import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { JsonSerializer } from '../src/index.ts';

const strict = {
  zod: z.object({
    orderId: z.string(),
    total: z.number().min(0),
    lines: z.array(z.object({ sku: z.string() })),
  }),
  valibot: v.object({
    orderId: v.string(),
    total: v.pipe(v.number(), v.minValue(0)),
    lines: v.array(v.object({ sku: v.string() })),
  }),
  arktype: type({
    orderId: 'string',
    total: 'number >= 0',
    lines: type({ sku: 'string' }).array(),
    '+': 'delete',
  }),
};

const loose = {
  zod: z.looseObject({ orderId: z.string() }),
  valibot: v.looseObject({ orderId: v.string() }),
  arktype: type({ orderId: 'string' }),
};

const converting = {
  zod: z.object({
    at: z.iso.datetime().transform((text) => new Date(text)),
    note: z.string().default('none'),
  }),
  valibot: v.object({
    at: v.pipe(
      v.string(),
      v.isoTimestamp(),
      v.transform((text) => new Date(text)),
    ),
    note: v.optional(v.string(), 'none'),
  }),
  arktype: type({ at: 'string.date.iso.parse', note: 'string = "none"' }),
};

const asynchronous = {
  zod: z.object({ orderId: z.string().refine(async (id) => id !== 'unknown', 'no such order') }),
  valibot: v.objectAsync({
    orderId: v.pipeAsync(
      v.string(),
      v.checkAsync(async (id) => id !== 'unknown', 'no such order'),
    ),
  }),
};

const order = { orderId: 'o-1', total: 10, lines: [{ sku: 'a' }] };

async function refusal(run: () => unknown): Promise<SerializationError> {
  try {
    await run();
  } catch (error) {
    expect(MelangeError.is(error, 'SERIALIZATION'), String(error)).toBe(true);
    return error as SerializationError;
  }
  throw new Error('nothing was refused');
}

describe.each(Object.entries<StandardSchema<unknown, typeof order>>(strict))(
  'a message type of %s',
  (_, schema) => {
    class OrderPlaced extends defineMessage('OrderPlaced', schema) {}
    const json = new JsonSerializer([OrderPlaced]);

    test('arrives as an instance, with the fields that the schema gives', () => {
      const content = json.serialize(new OrderPlaced(order)) as string;
      const received = json.deserialize(content, 'OrderPlaced');
      expect(received).toBeInstanceOf(OrderPlaced);
      expect({ ...(received as OrderPlaced) }).toEqual(order);
      expect(new OrderPlaced(order).lines[0]?.sku).toBe('a');
    });

    test('is validated when it is published, and says where it is wrong', async () => {
      const error = await refusal(() => json.serialize(new OrderPlaced({ ...order, total: -1 })));
      expect(error.path).toEqual(['total']);
      const nested = new OrderPlaced({ ...order, lines: [{ sku: 7 as never }] });
      expect((await refusal(() => json.serialize(nested))).message).toContain('lines[0].sku');
    });

    test('is validated when it is received', async () => {
      for (const content of ['{}', '{"orderId":1,"total":1,"lines":[]}', '[]', 'null', '"text"']) {
        await refusal(() => json.deserialize(content, 'OrderPlaced'));
      }
    });

    test('loses fields that its schema does not let through', () => {
      const received = json.deserialize(JSON.stringify({ ...order, added: 1 }), 'OrderPlaced');
      expect(received).not.toHaveProperty('added');
    });
  },
);

describe.each(Object.entries<StandardSchema<unknown, { orderId: string }>>(loose))(
  'a loose message type of %s',
  (_, schema) => {
    class OrderPlaced extends defineMessage('OrderPlaced', schema) {}
    const json = new JsonSerializer([OrderPlaced]);

    test('keeps fields that a newer publisher added, and publishes them again', () => {
      const received = json.deserialize('{"orderId":"o-1","added":{"by":"newer"}}', 'OrderPlaced');
      expect(received).toMatchObject({ orderId: 'o-1', added: { by: 'newer' } });
      expect(JSON.parse(json.serialize(received) as string)).toEqual({
        orderId: 'o-1',
        added: { by: 'newer' },
      });
    });

    test('changes no prototype', () => {
      const text = '{"orderId":"o","__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}}';
      const received = json.deserialize(text, 'OrderPlaced');
      expect(received).toBeInstanceOf(OrderPlaced);
      expect({}).not.toHaveProperty('polluted');
    });
  },
);

describe.each(Object.entries<StandardSchema<unknown, { at: Date; note: string }>>(converting))(
  'a converting message type of %s',
  (_, schema) => {
    class Shipped extends defineMessage('Shipped', schema) {}
    const json = new JsonSerializer([Shipped]);

    test('has what the schema makes of the wire form', () => {
      const received = json.deserialize('{"at":"2026-01-01T00:00:00.000Z"}', 'Shipped') as Shipped;
      expect(received.at).toEqual(new Date('2026-01-01T00:00:00.000Z'));
      expect(received.note).toBe('none');
      expect(json.deserialize(json.serialize(received) as string, 'Shipped')).toEqual(received);
    });
  },
);

describe.each(Object.entries<StandardSchema<unknown, { orderId: string }>>(asynchronous))(
  'an asynchronous message type of %s',
  (_, schema) => {
    class OrderPlaced extends defineMessage('OrderPlaced', schema) {}
    const json = new JsonSerializer([OrderPlaced]);

    test('is validated when it is published and when it is received', async () => {
      const content = await json.serialize(new OrderPlaced({ orderId: 'o-1' }));
      expect(await json.deserialize(content, 'OrderPlaced')).toEqual(new OrderPlaced({ orderId: 'o-1' }));
      const refused = await refusal(() => json.serialize(new OrderPlaced({ orderId: 'unknown' })));
      expect(refused.message).toContain('no such order');
      await refusal(() => json.deserialize('{"orderId":"unknown"}', 'OrderPlaced'));
    });

    test('reaches its handler, or the dead-letter queue', async () => {
      const handled: string[] = [];
      const backend = new MemoryBackend();
      const serializers = new SerializerRegistry({ serializers: { json }, default: 'json' });
      await backend.declareQueue('orders', { deadLetterQueue: 'dead' });
      const publisher = new QueuePublisher({ backend, serializers });
      await publisher.publish('orders', new OrderPlaced({ orderId: 'o-1' }));
      await expect(
        publisher.publish('orders', new OrderPlaced({ orderId: 'unknown' })),
      ).rejects.toMatchObject({
        code: 'SERIALIZATION',
      });
      const foreign = { id: 'f', content: '{"orderId":"unknown"}', manifest: 'OrderPlaced', serializerId: 1 };
      await backend.publishToQueue('orders', [
        { ...foreign, key: undefined, headers: {}, publishedAt: undefined },
      ]);
      const dispatcher = new MessageDispatcher({ backend, serializers, logger: silentLogger });
      const consumer = new SingleDispatchConsumer('orders');
      dispatcher.attachConsumer(consumer.on(OrderPlaced, ({ orderId }) => void handled.push(orderId)));
      await dispatcher.consumeEvent('orders');
      expect(handled).toEqual(['o-1']);
      expect(await backend.describeQueue('dead')).toMatchObject({ depth: 1 });
      await dispatcher.close();
      await backend.close();
    });
  },
);

describe('a type that reads earlier manifests', () => {
  const version1 = z.object({ id: z.string(), price: z.number() });
  const version2 = z.object({ orderId: z.string(), price: z.number() });
  const schema = z.object({ orderId: z.string(), cents: z.int(), currency: z.string() });
  const fromVersion2 = ({ orderId, price }: z.output<typeof version2>) => ({
    orderId,
    cents: Math.round(price * 100),
    currency: 'EUR',
  });
  class OrderPlaced extends defineMessage('OrderPlaced', schema, {
    alsoReads: [
      lift('OrderPlaced.v1', version1, ({ id, price }) => fromVersion2({ orderId: id, price })),
      lift('OrderPlaced.v2', version2, fromVersion2),
    ],
  }) {}
  const json = new JsonSerializer([OrderPlaced]);
  const present = { orderId: 'o-1', cents: 1250, currency: 'EUR' };

  test('gets them lifted, as instances', () => {
    for (const [manifest, content] of [
      ['OrderPlaced.v1', '{"id":"o-1","price":12.5}'],
      ['OrderPlaced.v2', '{"orderId":"o-1","price":12.5}'],
      ['OrderPlaced', JSON.stringify(present)],
    ] as const) {
      const received = json.deserialize(content, manifest);
      expect(received, manifest).toBeInstanceOf(OrderPlaced);
      expect(received, manifest).toEqual(new OrderPlaced(present));
    }
    expect(json.manifest(new OrderPlaced(present))).toBe('OrderPlaced');
  });

  test('has them validated before and after they are lifted', async () => {
    const before = await refusal(() => json.deserialize('{"id":"o-1"}', 'OrderPlaced.v1'));
    expect(before.message).toContain('OrderPlaced.v1');
    expect(before.path).toEqual(['price']);
    const after = await refusal(() => json.deserialize('{"id":"o-1","price":1e300}', 'OrderPlaced.v1'));
    expect(after.path).toEqual(['cents']);
  });

  test('takes a lift that throws for content that cannot be decoded', async () => {
    class Fragile extends defineMessage('Fragile', schema, {
      alsoReads: [
        lift('Fragile.v1', version1, () => {
          throw new TypeError('a bug in the lift');
        }),
      ],
    }) {}
    const fragile = new JsonSerializer([Fragile]);
    const error = await refusal(() => fragile.deserialize('{"id":"o","price":1}', 'Fragile.v1'));
    expect(error.message).toContain('Fragile.v1');
    expect(error.cause).toBeInstanceOf(TypeError);
  });

  test('waits for an asynchronous schema of the earlier form', async () => {
    const slow = z.object({ id: z.string().refine(async (id) => id !== 'bad') });
    class Patient extends defineMessage('Patient', z.object({ orderId: z.string() }), {
      alsoReads: [lift('Patient.v1', slow, ({ id }) => ({ orderId: id }))],
    }) {}
    const patient = new JsonSerializer([Patient]);
    expect(await patient.deserialize('{"id":"o-1"}', 'Patient.v1')).toEqual(new Patient({ orderId: 'o-1' }));
    await refusal(() => patient.deserialize('{"id":"bad"}', 'Patient.v1'));
  });

  test('lets a service that must still publish the earlier form read both as the present one', () => {
    class Earlier extends defineMessage('OrderPlaced.v1', version1) {}
    for (const types of [
      [OrderPlaced, Earlier],
      [Earlier, OrderPlaced],
    ] as MessageClass[][]) {
      const both = new JsonSerializer(types);
      const earlier = new Earlier({ id: 'o-1', price: 12.5 });
      expect(both.manifest(earlier)).toBe('OrderPlaced.v1');
      expect(both.deserialize(both.serialize(earlier) as MessageContent, 'OrderPlaced.v1')).toEqual(
        new OrderPlaced(present),
      );
    }
  });

  test('upgrades a fleet service by service: old and new publishers reach old and new consumers', async () => {
    class Earlier extends defineMessage('OrderPlaced.v1', version1) {}
    const backend = new MemoryBackend();
    const registry = (types: MessageClass[]) =>
      new SerializerRegistry({ serializers: { json: new JsonSerializer(types) }, default: 'json' });
    const [old, fresh] = [registry([Earlier]), registry([OrderPlaced])];
    await backend.declareQueue('new', { topics: ['orders'], filter: manifestsOf(OrderPlaced) });
    await backend.declareQueue('old', { topics: ['orders'], filter: manifestsOf(Earlier) });
    const earlier = new Earlier({ id: 'o-1', price: 12.5 });
    await new TopicPublisher({ backend, serializers: old }).publish('orders', earlier);
    await new TopicPublisher({ backend, serializers: fresh }).publish('orders', new OrderPlaced(present));
    const handled: { old: object[]; new: object[] } = { old: [], new: [] };
    const consumerOf = new SingleDispatchConsumer('all')
      .on(Earlier, (message) => void handled.old.push(message))
      .on(OrderPlaced, (message) => void handled.new.push(message));
    for (const [queue, serializers] of [
      ['old', old],
      ['new', fresh],
    ] as const) {
      const dispatcher = new MessageDispatcher({ backend, serializers, logger: silentLogger });
      dispatcher.attachConsumer(consumerOf);
      await dispatcher.consumeEvent(queue);
      await dispatcher.close();
    }
    expect(handled.new).toEqual([new OrderPlaced(present), new OrderPlaced(present)]);
    expect(handled.old).toEqual([earlier]);
    await backend.close();
  });

  test('is refused when two types would read one manifest, or one its own', () => {
    const options = { alsoReads: [lift('OrderPlaced.v1', version2, fromVersion2)] };
    class Rival extends defineMessage('Rival', schema, options) {}
    class Circular extends defineMessage('OrderPlaced.v1', schema, options) {}
    class Reserved extends defineMessage('Reserved', schema, {
      alsoReads: [lift('json', version2, fromVersion2)],
    }) {}
    for (const types of [[OrderPlaced, Rival], [Circular], [Reserved], [OrderPlaced, OrderPlaced]]) {
      expect(() => new JsonSerializer(types)).toThrow(expect.objectContaining({ code: 'CONFIGURATION' }));
    }
  });
});
