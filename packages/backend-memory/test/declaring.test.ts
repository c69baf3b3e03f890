import { MemoryBackend } from '@melange/backend-memory';
import { type QueueOptions, silentLogger } from '@melange/core';
import { expect, test } from 'vitest';

/** Declares one after the other, and answers the description and the warnings. */
async function declared(...declarations: QueueOptions[]) {
  const warnings: unknown[] = [];
  const logger = { ...silentLogger, warn: (_: string, facts?: object) => void warnings.push(facts) };
  const backend = new MemoryBackend({ logger });
  for (const options of declarations) await backend.declareQueue('queue', options);
  const { topics, filter } = await backend.describeQueue('queue');
  return { topics, filter, warnings };
}

const orders = { topics: ['orders'] };

test('a filter is widened by another one, and by none; what stays is said once', async () => {
  const first = { ...orders, filter: ['b', 'a'] };
  expect(await declared(first)).toEqual({ topics: ['orders'], filter: ['a', 'b'], warnings: [] });
  expect(await declared(first, { ...orders, filter: ['c'] })).toEqual({
    topics: ['orders'],
    filter: ['a', 'b', 'c'],
    warnings: [{ queue: 'queue', manifests: ['a', 'b'], toRemoveManifests: 'replaceFilter' }],
  });
  expect(await declared(first, orders)).toMatchObject({ filter: undefined, warnings: [] });
  expect(await declared(orders, first)).toEqual({
    topics: ['orders'],
    filter: undefined,
    warnings: [{ queue: 'queue', manifests: 'all', toRemoveManifests: 'replaceFilter' }],
  });
});

test('replaceFilter makes it exactly what the declaration says', async () => {
  const first = { ...orders, filter: ['a', 'b'] };
  const replaced = await declared(first, { ...orders, filter: ['c'], replaceFilter: true });
  expect(replaced).toMatchObject({ filter: ['c'], warnings: [] });
  const narrowed = await declared(orders, { ...orders, filter: ['a'], replaceFilter: true });
  expect(narrowed).toMatchObject({ filter: ['a'], warnings: [] });
  expect(await declared(first, { ...orders, replaceFilter: true })).toMatchObject({ filter: undefined });
});

test('a topic stays until it is removed by name; a queue without one has no filter', async () => {
  const both = { topics: ['orders', 'bills'] };
  expect(await declared(both, orders)).toEqual({
    topics: ['bills', 'orders'],
    filter: undefined,
    warnings: [{ queue: 'queue', topics: ['bills'], toRemoveTopics: 'removeTopics' }],
  });
  expect(await declared(both, { ...orders, removeTopics: ['bills', 'never bound'] })).toMatchObject({
    topics: ['orders'],
    warnings: [],
  });
  expect(await declared({ ...orders, filter: ['a'] }, { removeTopics: ['orders'] })).toMatchObject({
    topics: [],
    filter: undefined,
    warnings: [],
  });
});

test('declared again without topics, as whoever publishes to it does, it has nothing to say', async () => {
  expect(await declared({ ...orders, filter: ['a'] }, {})).toMatchObject({ filter: ['a'], warnings: [] });
});
