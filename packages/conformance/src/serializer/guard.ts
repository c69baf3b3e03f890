import assert from 'node:assert/strict';
import { getHeapStatistics } from 'node:v8';
import { runInThisContext } from 'node:vm';
import { MelangeError, type Serializer } from '@melange/core';
import { withDeadline } from '../behaviour.ts';
import type { Mutation } from './mutate.ts';

/** Contents that are read under one time limit: setting a limit costs more than reading. */
const batch = 100;

/** Longest that a batch may take, in ms: far above what a loaded machine needs, far below what a hang takes. */
const longestMs = 3_000;

/** Memory that one content may take besides so many times its own size, in bytes. */
const freeBytes = 128 * 1024 * 1024;
const bytesForEach = 1_000;

const slot = Symbol.for('melange.conformance.guarded');

/**
 * Reads one content after the other: each becomes a value or a `SerializationError`, in bounded time and memory,
 * and leaves the prototypes of JavaScript as they are.
 *
 * @param prototypes others that must not change, such as those of the application's classes.
 */
export async function readSafely(
  serializer: Serializer,
  inputs: readonly Mutation[],
  prototypes: readonly object[],
): Promise<void> {
  const before = shapesOf(prototypes);
  for (let start = 0; start < inputs.length; start += batch) {
    let current: Mutation | undefined;
    const readings: Promise<unknown>[] = [];
    const readBatch = (): void => {
      for (const input of inputs.slice(start, start + batch)) {
        current = input;
        const taken = memoryInUse();
        const read = async (): Promise<unknown> => serializer.deserialize(input.content, input.manifest);
        readings.push(read().catch(assertSerializationError(input)));
        const more = memoryInUse() - taken;
        const allowed = freeBytes + bytesForEach * input.content.length;
        assert.ok(more <= allowed, `${more} bytes were taken for ${shown(input)}`);
      }
    };
    try {
      withinTime(readBatch);
    } catch (error) {
      const isHang = (error as { code?: unknown }).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT';
      if (isHang && current !== undefined) assert.fail(`no end after ${longestMs} ms for ${shown(current)}`);
      throw error;
    }
    await withDeadline(Promise.all(readings), longestMs, 'Reading mutated content');
  }
  assert.deepEqual(shapesOf(prototypes), before, 'prototypes were changed');
}

function assertSerializationError(input: Mutation): (error: unknown) => void {
  return (error) =>
    assert.ok(MelangeError.is(error, 'SERIALIZATION'), `${String(error)} for ${shown(input)}`);
}

/** Runs it where V8 can end it: a loop without end would stop the suite too, and no timer would ever fire. */
function withinTime(run: () => void): void {
  const holder = globalThis as { [slot]?: () => void };
  holder[slot] = run;
  try {
    runInThisContext(`globalThis[Symbol.for('${slot.description}')]()`, { timeout: longestMs });
  } finally {
    delete holder[slot];
  }
}

/** Of the heap and outside of it. A collection in between can only make it less. */
function memoryInUse(): number {
  const { used_heap_size, external_memory } = getHeapStatistics();
  return used_heap_size + external_memory;
}

/** What each prototype has, and what has become of it. */
function shapesOf(prototypes: readonly object[]): unknown[] {
  const own = [Object, Array, Function, String, Number, Boolean, Map, Set, Uint8Array, Error, Promise, Date];
  return [...own.map((type) => type.prototype as object), ...own, ...prototypes].map((object) => {
    const descriptors = Reflect.ownKeys(object).map((key) => {
      const { value, get, set } = Object.getOwnPropertyDescriptor(object, key) ?? {};
      return [key, value, get, set];
    });
    return { descriptors, parent: Object.getPrototypeOf(object) };
  });
}

function shown({ content, manifest }: Mutation): string {
  const start = content.slice(0, 100);
  const text = JSON.stringify(typeof start === 'string' ? start : [...start]);
  return `${text} as ${manifest?.slice(0, 100)}`;
}
