import { describeSerializer } from '@melange/conformance';
import { descriptorTypes, ProtobufSerializer } from '../src/index.ts';
import { descriptor, line, OrderPlaced } from './shop.ts';

describeSerializer({
  name: 'protobuf',
  create: () => new ProtobufSerializer({ types: descriptorTypes(descriptor), classes: [OrderPlaced] }),
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
  refused: {
    undefined,
    text: 'text',
    'plain object': { orderId: 'o-1' },
    'unknown class': new (class Unknown {})(),
    'out of range': new OrderPlaced({ small: -1 }),
  },
});
