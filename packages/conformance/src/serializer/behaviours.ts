import assert from 'node:assert/strict';
import { MelangeError, type MessageContent, type Serializer } from '@melange/core';
import { behaviours } from '../behaviour.ts';
import type { SameAssertion, SerializerBehaviour, SerializerContext } from './serializer-context.ts';

const deepEquality: SameAssertion = (received, sent) => assert.deepEqual(received, sent);

const mutationsInAll = 1_000;

const roundTrips: readonly SerializerBehaviour[] = behaviours<SerializerContext>('round trip', [
  {
    id: 'values',
    title: 'every given value is the same after the trip',
    async run({ serializer, values, assertSame = deepEquality }) {
      for (const [name, value] of Object.entries(values)) {
        const content = await serializer.serialize(value);
        assertSame(await serializer.deserialize(content, serializer.manifest(value)), value);
        assert.ok(typeof content === 'string' || content instanceof Uint8Array, `content of "${name}"`);
      }
    },
  },
  {
    id: 'manifest-is-stable',
    title: 'the manifest of a value is the same each time, in each instance, and after the trip',
    async run({ serializer, values, create }) {
      const other = await create();
      for (const value of Object.values(values)) {
        const manifest = serializer.manifest(value);
        assert.ok(typeof manifest === 'string' && manifest.length > 0);
        assert.equal(serializer.manifest(value), manifest);
        assert.equal(other.manifest(value), manifest);
        const received = await serializer.deserialize(await serializer.serialize(value), manifest);
        assert.equal(serializer.manifest(received), manifest);
      }
    },
  },
  {
    id: 'between-instances',
    title: 'what one instance wrote another one reads',
    async run({ serializer, values, create, assertSame = deepEquality }) {
      const other = await create();
      assert.equal(other.identifier, serializer.identifier);
      for (const value of Object.values(values)) {
        const content = await serializer.serialize(value);
        assertSame(await other.deserialize(content, serializer.manifest(value)), value);
      }
    },
  },
  {
    id: 'identifier',
    title: "the identifier is a positive whole number, and not 2, Python's pickle",
    async run({ serializer: { identifier } }) {
      assert.ok(Number.isSafeInteger(identifier) && identifier > 0 && identifier !== 2, String(identifier));
    },
  },
  {
    id: 'concurrent',
    title: 'concurrent trips do not mix',
    async run({ serializer, values, assertSame = deepEquality }) {
      const all = Object.values(values);
      const trips = Array.from({ length: 100 }, async (_, index) => {
        const value = all[index % all.length];
        const content = await serializer.serialize(value);
        assertSame(await serializer.deserialize(content, serializer.manifest(value)), value);
      });
      await Promise.all(trips);
    },
  },
]);

const corruption: readonly SerializerBehaviour[] = behaviours<SerializerContext>('corruption', [
  {
    id: 'refused-values',
    title: 'values that cannot be carried are refused with a SerializationError',
    requires: ({ refused = {} }) =>
      Object.keys(refused).length === 0 ? 'no refused values were given' : undefined,
    async run({ serializer, refused = {} }) {
      for (const [name, value] of Object.entries(refused)) {
        await assert.rejects(
          async () => serializer.serialize(value),
          (error) => MelangeError.is(error, 'SERIALIZATION'),
          name,
        );
      }
    },
  },
  {
    id: 'mutations',
    title: '1,000 mutations of content give a value or a SerializationError, never another error',
    timeoutMs: 60_000,
    async run({ serializer, values }) {
      const random = seededRandom(20_260_101);
      const entries = Object.values(values);
      for (let count = 0; count < mutationsInAll; count += 1) {
        const value = entries[count % entries.length];
        await valueOrSerializationError(
          serializer,
          mutate(await serializer.serialize(value), random),
          serializer.manifest(value),
        );
      }
    },
  },
  {
    id: 'truncation',
    title: 'truncated content gives a value or a SerializationError',
    async run({ serializer, values }) {
      for (const value of Object.values(values)) {
        const content = await serializer.serialize(value);
        const step = Math.max(1, Math.floor(content.length / 200));
        for (let length = 0; length < content.length; length += step) {
          await valueOrSerializationError(serializer, content.slice(0, length), serializer.manifest(value));
        }
      }
    },
  },
  {
    id: 'random-content',
    title: 'random bytes and text give a value or a SerializationError, whatever the manifest',
    async run({ serializer, values }) {
      const random = seededRandom(7);
      const manifests = [
        ...Object.values(values).map((value) => serializer.manifest(value)),
        'Unknown',
        '',
        undefined,
      ];
      for (const manifest of manifests) {
        for (let count = 0; count < 100; count += 1) {
          const bytes = Uint8Array.from({ length: Math.floor(random() * 64) }, () =>
            Math.floor(random() * 256),
          );
          await valueOrSerializationError(serializer, bytes, manifest);
          await valueOrSerializationError(serializer, Buffer.from(bytes).toString('latin1'), manifest);
        }
      }
    },
  },
  {
    id: 'prototype',
    title: 'keys named __proto__ and constructor never change Object.prototype',
    async run({ serializer, values }) {
      const before = Object.getOwnPropertyNames(Object.prototype).sort();
      const texts = ['{"__proto__":{"polluted":1}}', '{"constructor":{"prototype":{"polluted":1}}}'];
      for (const value of Object.values(values)) {
        for (const text of texts) {
          for (const content of [text, Buffer.from(text)]) {
            await valueOrSerializationError(serializer, content, serializer.manifest(value));
          }
        }
      }
      for (const text of texts) {
        try {
          const value: unknown = JSON.parse(text);
          await serializer.deserialize(await serializer.serialize(value), serializer.manifest(value));
        } catch (error) {
          assert.ok(MelangeError.is(error, 'SERIALIZATION'), String(error));
        }
      }
      assert.equal(({} as { polluted?: unknown }).polluted, undefined);
      assert.deepEqual(Object.getOwnPropertyNames(Object.prototype).sort(), before);
    },
  },
]);

/** All that a serializer must do. */
export const serializerBehaviours: readonly SerializerBehaviour[] = [...roundTrips, ...corruption];

async function valueOrSerializationError(
  serializer: Serializer,
  content: MessageContent,
  manifest: string | undefined,
): Promise<void> {
  try {
    await serializer.deserialize(content, manifest);
  } catch (error) {
    const shown = JSON.stringify(typeof content === 'string' ? content : [...content]).slice(0, 200);
    assert.ok(MelangeError.is(error, 'SERIALIZATION'), `${String(error)} for ${shown} as ${manifest}`);
  }
}

/** One to four changes: a flipped bit, a removed stretch, a repeated one, or random bytes put in. */
function mutate(content: MessageContent, random: () => number): MessageContent {
  let bytes = [...(typeof content === 'string' ? Buffer.from(content) : content)];
  const changes = 1 + Math.floor(random() * 4);
  for (let change = 0; change < changes; change += 1) {
    const at = Math.floor(random() * bytes.length);
    const kind = Math.floor(random() * 4);
    const stretch = bytes.slice(at, at + 1 + Math.floor(random() * 8));
    if (kind === 0) bytes[at] = (bytes[at] ?? 0) ^ (1 << Math.floor(random() * 8));
    else if (kind === 1) bytes.splice(at, stretch.length);
    else if (kind === 2) bytes.splice(at, 0, ...stretch);
    else bytes.splice(at, 0, Math.floor(random() * 256));
    bytes = bytes.slice(0, 100_000);
  }
  const mutated = Uint8Array.from(bytes);
  return typeof content === 'string' ? Buffer.from(mutated).toString() : mutated;
}

/** The same sequence in every run, so that a failure can be repeated (mulberry32). */
function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
