import { type MessageContent, SerializationError, type Serializer } from '@melange/core';

/** Just enough JSON for the suite's own messages, so that the kit depends on the core alone. */
export const testSerializer: Serializer = {
  identifier: 1,
  manifest: () => 'json',
  serialize: (value) => JSON.stringify(value),
  deserialize(content: MessageContent) {
    try {
      return JSON.parse(typeof content === 'string' ? content : Buffer.from(content).toString()) as unknown;
    } catch (cause) {
      throw new SerializationError('not JSON', { cause });
    }
  },
};

/** A number, as the wire format of Protocol Buffers has `message Numbered { fixed32 number = 1; bytes pad = 2; }`. */
export class Numbered {
  readonly number: number;
  constructor(number: number) {
    this.number = number;
  }
}

/** Just enough protobuf: content of every byte, most of which is not text. */
export const testBinarySerializer: Serializer = {
  identifier: 3,
  manifest: () => 'conformance.v1.Numbered',
  serialize(value) {
    const content = Buffer.alloc(5 + 3 + 256);
    content[0] = 0x0d;
    content.writeUInt32LE((value as Numbered).number, 1);
    content.set([0x12, 0x80, 0x02], 5);
    for (let byte = 0; byte < 256; byte += 1) content[8 + byte] = byte;
    return Uint8Array.from(content);
  },
  deserialize(content: MessageContent) {
    if (typeof content === 'string') throw new SerializationError('text where there were bytes');
    const isWhole = content.length === 264 && content.subarray(8).every((byte, index) => byte === index);
    if (!isWhole) throw new SerializationError('bytes were changed');
    return new Numbered(Buffer.from(content).readUInt32LE(1));
  },
};
