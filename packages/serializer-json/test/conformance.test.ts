import { describeSerializer } from '@melange/conformance';
import fc from 'fast-check';
import { JsonSerializer } from '../src/index.ts';

class OrderPlaced {
  readonly orderId: string;
  readonly total: number;
  constructor(orderId: string, total: number) {
    this.orderId = orderId;
    this.total = total;
  }
}

describeSerializer({
  name: 'json',
  create: () => new JsonSerializer([OrderPlaced]),
  values: {
    object: { text: 'žluťoučký 🐎', nested: { list: [1, 2.5, -0.125, true, null, 'x'] }, empty: {} },
    list: [1, [2, [3]]],
    text: 'plain "quoted" \u2028',
    number: 12.5,
    boolean: false,
    null: null,
    instance: new OrderPlaced('order-1', 9.99),
    'own constructor key': { constructor: 'a name like any other' },
  },
  generated: {
    json: fc.jsonValue(),
    text: fc.string({ unit: 'binary' }),
    instance: fc
      .record({
        orderId: fc.string({ unit: 'grapheme' }),
        total: fc.double({ noNaN: true, noDefaultInfinity: true }),
      })
      // JSON has one zero.
      .map(({ orderId, total }) => new OrderPlaced(orderId, total + 0)),
  },
  refused: {
    undefined,
    function: () => 1,
    bigint: 1n,
    'unknown class': new (class Unknown {})(),
  },
});
