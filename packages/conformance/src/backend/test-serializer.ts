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
