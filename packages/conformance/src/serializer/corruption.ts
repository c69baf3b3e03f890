import assert from 'node:assert/strict';
import { MelangeError } from '@melange/core';
import { sample } from 'fast-check';
import { behaviours } from '../behaviour.ts';
import { readSafely } from './guard.ts';
import { hostileContents, type Mutation, mutate, seededRandom } from './mutate.ts';
import type { SerializerBehaviour, SerializerContext } from './serializer-context.ts';

/** Inputs for each declared type. */
const mutationsEach = 10_000;

/** What a serializer must stand: nothing that arrives is anything but a value or a `SerializationError`. */
export const corruption: readonly SerializerBehaviour[] = behaviours<SerializerContext>('corruption', [
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
    title:
      '10,000 mutations of content of each type give a value or a SerializationError, in bounded time and memory, and change no prototype',
    timeoutMs: 120_000,
    async run(context) {
      const random = seededRandom(20_260_101);
      const originals = await contentsOf(context);
      for (const type of new Set(originals.map(({ manifest }) => manifest))) {
        const ofOneType = originals.filter(({ manifest }) => manifest === type);
        const inputs = Array.from({ length: mutationsEach }, (_, count) =>
          mutate(ofOneType[count % ofOneType.length] as Mutation, originals, random),
        );
        await readSafely(context.serializer, inputs, prototypesOf(context));
      }
    },
  },
  {
    id: 'truncation',
    title: 'truncated content gives a value or a SerializationError',
    async run(context) {
      const originals = await contentsOf(context, 10);
      const inputs = originals.flatMap(({ content, manifest }) => {
        const step = Math.max(1, Math.floor(content.length / 200));
        const lengths = Array.from({ length: Math.ceil(content.length / step) }, (_, index) => index * step);
        return lengths.map((length) => ({ content: content.slice(0, length), manifest }));
      });
      await readSafely(context.serializer, inputs, prototypesOf(context));
    },
  },
  {
    id: 'hostile-content',
    title: 'content that is nested, claims lengths or is plain large gives a value or a SerializationError',
    timeoutMs: 120_000,
    async run(context) {
      const { serializer, values } = context;
      const manifests = new Set<string | undefined>(
        Object.values(values).map((value) => serializer.manifest(value)),
      );
      for (const manifest of [...manifests, 'Unknown', '', undefined]) {
        const inputs = [...hostileContents().values()].map((content) => ({ content, manifest }));
        await readSafely(serializer, inputs, prototypesOf(context));
      }
    },
  },
  {
    id: 'prototype',
    title: 'keys named __proto__ and constructor never change a prototype',
    async run(context) {
      const { serializer, values } = context;
      const texts = ['{"__proto__":{"polluted":1}}', '{"constructor":{"prototype":{"polluted":1}}}'];
      const inputs = Object.values(values).flatMap((value) =>
        texts.flatMap((text) =>
          [text, Buffer.from(text)].map((content) => ({ content, manifest: serializer.manifest(value) })),
        ),
      );
      await readSafely(serializer, inputs, prototypesOf(context));
      for (const text of texts) {
        try {
          const value: unknown = JSON.parse(text);
          await serializer.deserialize(await serializer.serialize(value), serializer.manifest(value));
        } catch (error) {
          assert.ok(MelangeError.is(error, 'SERIALIZATION'), String(error));
        }
      }
      assert.equal(({} as { polluted?: unknown }).polluted, undefined);
    },
  },
]);

/** Content of the given values, and of generated ones of each declared type. */
async function contentsOf(
  { serializer, values, generated = {} }: SerializerContext,
  numRuns = 100,
): Promise<Mutation[]> {
  const samples = Object.values(generated).flatMap((arbitrary) =>
    sample(arbitrary, { numRuns, seed: 20_260_101 }),
  );
  const contents: Mutation[] = [];
  for (const value of [...Object.values(values), ...samples]) {
    contents.push({ content: await serializer.serialize(value), manifest: serializer.manifest(value) });
  }
  return contents;
}

/** Of the values, as far as they are of classes. */
function prototypesOf({ values }: SerializerContext): object[] {
  return Object.values(values)
    .filter((value): value is object => typeof value === 'object' && value !== null)
    .map((value) => Object.getPrototypeOf(value) as object | null)
    .filter((prototype): prototype is object => prototype !== null && prototype !== Object.prototype);
}
