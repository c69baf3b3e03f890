import { descriptorTypes, ProtobufSerializer, staticTypes } from '../../src/index.ts';
import * as shopModule from '../fixtures/shop.static.js';
import { descriptor, line, OrderPlaced } from '../shop.ts';

// Run with --disallow-code-generation-from-strings. Prints what became of an order with types of either kind.

const order = new OrderPlaced({ orderId: 'o-1', totalInCents: 2n ** 62n, lines: [line] });
for (const [kind, types] of [
  ['static', () => staticTypes(shopModule)],
  ['reflected', () => descriptorTypes(descriptor)],
] as const) {
  let outcome: unknown;
  try {
    const serializer = new ProtobufSerializer({ types: types(), classes: [OrderPlaced] });
    const content = serializer.serialize(order) as Uint8Array;
    outcome = (serializer.deserialize(content, OrderPlaced.manifest) as OrderPlaced).orderId;
  } catch (error) {
    outcome = String(error);
  }
  console.log(JSON.stringify([kind, outcome]));
}
