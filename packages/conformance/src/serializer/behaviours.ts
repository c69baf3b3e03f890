import assert from 'node:assert/strict';
import { assert as assertProperty, asyncProperty } from 'fast-check';
import { behaviours } from '../behaviour.ts';
import { corruption } from './corruption.ts';
import type { SameAssertion, SerializerBehaviour, SerializerContext } from './serializer-context.ts';

const deepEquality: SameAssertion = (received, sent) => assert.deepEqual(received, sent);

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
    id: 'generated-values',
    title: 'every generated value of the declared types is the same after the trip',
    timeoutMs: 60_000,
    requires: ({ generated = {} }) =>
      Object.keys(generated).length === 0 ? 'no generated values were given' : undefined,
    async run({ serializer, generated = {}, assertSame = deepEquality }) {
      for (const arbitrary of Object.values(generated)) {
        // What fails is made small, and comes again by the seed that the error names.
        const trip = asyncProperty(arbitrary, async (value) => {
          const content = await serializer.serialize(value);
          assertSame(await serializer.deserialize(content, serializer.manifest(value)), value);
        });
        await assertProperty(trip, { numRuns: 500, seed: 20_260_101 });
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

/** All that a serializer must do. */
export const serializerBehaviours: readonly SerializerBehaviour[] = [...roundTrips, ...corruption];
