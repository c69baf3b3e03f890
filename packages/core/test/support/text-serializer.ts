import { SerializationError, type Serializer, SerializerRegistry } from '@melange/core';

/** JSON without types, so that the core is tested without its neighbours. */
export const textSerializer: Serializer = {
  identifier: 1,
  manifest: () => 'json',
  serialize: (value) => JSON.stringify(value),
  deserialize(content) {
    try {
      return JSON.parse(String(content));
    } catch (cause) {
      throw new SerializationError('not JSON', { cause });
    }
  },
};

export const serializers: SerializerRegistry<'json'> = new SerializerRegistry({
  serializers: { json: textSerializer },
  default: 'json',
});
