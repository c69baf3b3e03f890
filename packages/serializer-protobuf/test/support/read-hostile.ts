import { MelangeError } from '@melange/core';
import { descriptorTypes, ProtobufSerializer } from '../../src/index.ts';
import { descriptor, OrderPlaced } from '../shop.ts';

// Reads content of 4 MiB, the most that is read, of each kind that becomes much more than it is. Run where the heap is
// bounded: whoever takes more does not come to the end. Prints what became of each.

const size = 4 * 1024 * 1024;

/** The same few bytes over and over. */
function repeated(...unit: number[]): Uint8Array {
  const content = new Uint8Array(size - (size % unit.length));
  for (let at = 0; at < content.length; at += unit.length) content.set(unit, at);
  return content;
}

/** One field that says that the rest is its own. */
function packed(tag: readonly number[], fill: number): Uint8Array {
  const content = new Uint8Array(size).fill(fill);
  const rest = size - tag.length - 4;
  const length = [0, 7, 14, 21].map((shift) => ((rest >>> shift) & 127) | (shift < 21 ? 128 : 0));
  content.set([...tag, ...length]);
  return content;
}

/** Entries of a map with keys that all differ. */
function entries(): Uint8Array {
  const content = new Uint8Array(size);
  for (let at = 0, key = 0; at + 8 <= size; at += 8, key += 1) {
    content.set([0x2a, 6, 0x0a, 4], at);
    for (let digit = 0; digit < 4; digit += 1) content[at + 4 + digit] = 97 + ((key >>> (4 * digit)) & 15);
  }
  return content;
}

/** Messages in messages, as deep as it goes, over and over. */
function deep(): Uint8Array {
  let unit: number[] = [];
  while (unit.length < 90) unit = [0x9a, 0x01, unit.length, ...unit];
  return repeated(...unit);
}

const hostile: Readonly<Record<string, Uint8Array>> = {
  'empty messages in a list': repeated(0x22, 0),
  'a message over and over, with all its lists': repeated(0x9a, 0x01, 0),
  'messages in messages': deep(),
  'as many messages as are allowed': repeated(0x22, 0).slice(0, 2 * 99_999),
  'as many messages with all their lists': repeated(0x9a, 0x01, 0).slice(0, 3 * 99_999),
  'as many entries of a map': entries().slice(0, 8 * 33_333),
  'empty entries of a map': repeated(0x2a, 0),
  'entries of a map': entries(),
  'empty texts': repeated(0xa2, 0x01, 0),
  'bytes over and over': repeated(0x3a, 2, 1, 1),
  '64-bit integers, packed': packed([0x62], 0),
  '64-bit integers, one by one': repeated(0x60, 1),
  'enum values, packed': packed([0x6a], 0),
  'enum values, packed in many fields': repeated(0x6a, 2, 1, 1),
  'members of a oneof': repeated(0x42, 0, 0x48, 1),
  'fields that are not known': repeated(0xf8, 0x0f, 1),
  'text of the whole length': packed([0x0a], 120),
  'text that is not UTF-8': packed([0x0a], 0xff),
  'groups that do not end': repeated(0xfb, 0x0f),
  'numbers that do not end': repeated(0xff),
  'a length that is not there': Uint8Array.of(0x3a, 0xff, 0xff, 0xff, 0x7f),
};

const types = descriptorTypes(descriptor);
const serializers = {
  bound: new ProtobufSerializer({ types, classes: [OrderPlaced] }),
  unbound: new ProtobufSerializer({ types }),
};
for (const [name, content] of Object.entries(hostile)) {
  for (const [kind, serializer] of Object.entries(serializers)) {
    let outcome = 'read';
    const start = process.cpuUsage();
    try {
      serializer.deserialize(content, OrderPlaced.manifest);
    } catch (error) {
      outcome = MelangeError.is(error, 'SERIALIZATION') ? 'refused' : `threw ${String(error)}`;
    }
    const { user } = process.cpuUsage(start);
    console.log(JSON.stringify({ name, kind, outcome, milliseconds: Math.round(user / 1_000) }));
  }
}
console.log(JSON.stringify({ largest: process.resourceUsage().maxRSS * 1_024 }));
