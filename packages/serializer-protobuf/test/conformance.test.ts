import { describeSerializer } from '@melange/conformance';
import fc from 'fast-check';
import { descriptorTypes, ProtobufSerializer } from '../src/index.ts';
import { descriptor, emptyOrder, line, type OrderFields, OrderPlaced } from './shop.ts';

const text = fc.string({ unit: 'grapheme' });
const signed = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const unsigned = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const lineOf = fc.record(
  { sku: text, quantity: fc.nat({ max: 2 ** 32 - 1 }), priceInCents: signed },
  { noNullPrototype: true },
);
// An enum of proto3 takes numbers that it does not know.
const currency = fc.integer();

const { order } = fc.letrec<{ order: OrderFields }>((tie) => ({
  order: fc
    .tuple(
      fc.record({
        orderId: text,
        totalInCents: signed,
        currency,
        lines: fc.array(lineOf, { maxLength: 5 }),
        labels: fc.dictionary(text, text, { maxKeys: 5, noNullPrototype: true }),
        byNumber: fc.dictionary(signed.map(String), lineOf, { maxKeys: 3, noNullPrototype: true }),
        signature: fc.uint8Array(),
        ledger: fc.array(signed),
        accepted: fc.array(currency),
        weight: fc.double(),
        ratio: fc.float(),
        gift: fc.boolean(),
        checksum: unsigned,
        small: fc.nat({ max: 2 ** 32 - 1 }),
        notes: fc.array(text),
      }),
      fc.oneof(
        fc.constant({}),
        fc.record({ card: text }),
        fc.record({ voucher: unsigned }),
        fc.record({ barter: lineOf }),
      ),
      fc.record({ priority: fc.integer(), previous: tie('order') }, { requiredKeys: [] }),
    )
    .map(([fields, payment, optional]) => ({ ...emptyOrder(), ...fields, ...payment, ...optional })),
}));

class OrderCancelled {
  static readonly manifest: string = 'shop.v1.OrderCancelled';
  readonly orderId: string;
  readonly reason: string;
  constructor(orderId: string, reason: string) {
    this.orderId = orderId;
    this.reason = reason;
  }
}

describeSerializer({
  name: 'protobuf',
  create: () =>
    new ProtobufSerializer({ types: descriptorTypes(descriptor), classes: [OrderPlaced, OrderCancelled] }),
  values: {
    'nothing set': new OrderPlaced(),
    order: new OrderPlaced({
      orderId: 'žluťoučký 🐎',
      totalInCents: -(2n ** 63n),
      currency: 1,
      lines: [line, line],
      labels: { __proto__: 'no key at all', constructor: 'a key' },
      byNumber: { '-1': line },
      signature: Uint8Array.of(0, 255),
      accepted: [0, 77],
      card: '4111',
    }),
    nested: new OrderPlaced({ previous: { ...new OrderPlaced({ ledger: [1n, 2n] }) } }),
  },
  generated: {
    order: order.map((fields) => new OrderPlaced(fields)),
    cancellation: fc.tuple(text, text).map(([orderId, reason]) => new OrderCancelled(orderId, reason)),
  },
  refused: {
    undefined,
    text: 'text',
    'plain object': { orderId: 'o-1' },
    'unknown class': new (class Unknown {})(),
    'out of range': new OrderPlaced({ small: -1 }),
  },
});
