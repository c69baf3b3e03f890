import { MemoryBackend, memoryCapabilities } from '@melange/backend-memory';
import type { MessagingBackend, Serializer } from '@melange/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkBackend } from '../src/backend/check-backend.ts';
import { testSerializer } from '../src/backend/test-serializer.ts';
import type { BehaviourResult } from '../src/behaviour.ts';
import { checkDeduplicationCache } from '../src/cache/check-deduplication-cache.ts';
import { checkSerializer } from '../src/serializer/describe-serializer.ts';
import { mutantBackends } from './support/mutant-backends.ts';
import { mutantBrowsing } from './support/mutant-browsing.ts';
import { type CacheDefects, NaiveCache } from './support/naive-cache.ts';

const failed = (results: readonly BehaviourResult[]) =>
  results.filter((result) => result.status === 'fail').map((result) => result.id);

function backendResults(
  alter: (healthy: MessagingBackend) => MessagingBackend,
  only?: string[],
  bounds: { readonly patienceMs?: number } = { patienceMs: 400 },
): Promise<BehaviourResult[]> {
  return checkBackend(
    {
      name: 'mutant',
      create: () => ({ backend: alter(new MemoryBackend()) }),
      capabilities: memoryCapabilities,
      quietMs: 40,
      ...bounds,
    },
    only === undefined ? {} : { only },
  );
}

function cacheResults(defects: CacheDefects, hasLittleRoom = false): Promise<BehaviourResult[]> {
  return checkDeduplicationCache({
    name: 'mutant',
    races: 20,
    create: ({ ttlMs }) => {
      let now = 0;
      const elapse = (milliseconds: number) => {
        now += milliseconds;
      };
      const make = () => new NaiveCache({ ttlMs, now: () => now }, defects);
      return { cache: make(), elapse, ...(hasLittleRoom && { small: make }) };
    },
  });
}

function serializerResults(changes: Partial<Serializer>, only?: string[]): Promise<BehaviourResult[]> {
  const values = { object: { text: 'ž', list: [1, { deep: 'x' }] }, text: 'plain', number: 1.5 };
  const generated = { json: fc.jsonValue() };
  const create = () => ({ ...testSerializer, ...changes });
  return checkSerializer({ name: 'mutant', create, values, generated }, only === undefined ? {} : { only });
}

describe('the suite finds defective backends', () => {
  for (const { defect, caughtBy, alter } of [...mutantBackends, ...mutantBrowsing]) {
    it(defect, async () => {
      expect(failed(await backendResults(alter, [caughtBy]))).toEqual([caughtBy]);
    });
  }

  it('and passes the healthy one', { timeout: 60_000 }, async () => {
    const results = await backendResults((healthy) => healthy, undefined, {});
    expect(failed(results)).toEqual([]);
    expect(new Set(results.map((result) => result.id)).size).toBe(results.length);
    for (const result of results) if (result.status === 'skip') expect(result.reason).not.toBe('');
  });
});

describe('the suite finds defective deduplication caches', () => {
  const mutants: readonly (readonly [keyof CacheDefects, string])[] = [
    ['marksBeforeProcessing', 'confirm/crash-before-confirm'],
    ['checksThenSets', 'claim/one-winner'],
    ['confirmsWithoutToken', 'confirm/late-after-takeover'],
    ['releasesWithoutToken', 'lease/late-release'],
    ['extendsWithoutToken', 'lease/late-extend'],
    ['claimsNeverExpire', 'confirm/crash-before-confirm'],
    ['doneNeverExpires', 'confirm/forgotten-after-ttl'],
    ['doneExpiresWithTheLease', 'confirm/outlives-the-lease'],
    ['releaseUndoesDone', 'confirm/never-shortened'],
    ['oneFenceForAll', 'lease/fences-differ'],
  ];
  for (const [defect, caughtBy] of mutants) {
    it(defect, async () => {
      expect(failed(await cacheResults({ [defect]: true }))).toContain(caughtBy);
    });
  }

  it('growsForEver', async () => {
    expect(failed(await cacheResults({}, true))).toEqual(['memory/full-of-claims', 'memory/full-of-done']);
  });

  it('forgetsTheOldestOf', async () => {
    const results = await cacheResults({ forgetsTheOldestOf: 1_000 }, true);
    expect(failed(results)).toEqual(['memory/full-of-claims', 'memory/full-of-done']);
  });

  it('and passes the healthy one', async () => {
    expect(failed(await cacheResults({}))).toEqual([]);
  });
});

describe('the suite finds defective serializers', () => {
  it('that throw errors of their own', async () => {
    const changes = { deserialize: (content: string | Uint8Array) => JSON.parse(String(content)) as unknown };
    const all = ['corruption/mutations', 'corruption/truncation', 'corruption/hostile-content'];
    expect(failed(await serializerResults(changes, all))).toEqual(all);
  });

  it('whose manifest changes', async () => {
    let count = 0;
    const manifest = () => {
      count += 1;
      return `json-${count}`;
    };
    const only = ['round-trip/manifest-is-stable'];
    expect(failed(await serializerResults({ manifest }, only))).toEqual(only);
  });

  it('that lose what is not ASCII', async () => {
    const serialize = (value: unknown) => JSON.stringify(value).replaceAll(/[^ -~]/g, '?');
    expect(failed(await serializerResults({ serialize }))).toContain('round-trip/values');
  });

  const { deserialize, serialize } = testSerializer;

  it('that lose what only some values have', async () => {
    const lossy = (value: unknown) =>
      JSON.stringify(value, (_, field) => (Number.isInteger(field) ? field | 0 : field)) as string;
    expect(failed(await serializerResults({ serialize: lossy }))).toContain('round-trip/generated-values');
  });

  it('that trip over manifests', async () => {
    const shapes: Record<string, () => unknown> = { json: () => undefined };
    const reading: Serializer['deserialize'] = (content, manifest) => {
      shapes[manifest ?? 'json']?.();
      return deserialize(content, manifest);
    };
    expect(failed(await serializerResults({ deserialize: reading }))).toContain('corruption/mutations');
  });

  it('that never come to an end', async () => {
    const reading: Serializer['deserialize'] = (content, manifest) => {
      while (content[content.length - 1] === '[');
      return deserialize(content, manifest);
    };
    const [result] = await serializerResults({ deserialize: reading }, ['corruption/hostile-content']);
    expect(result).toMatchObject({ status: 'fail', error: { message: expect.stringContaining('no end') } });
  });

  it('that never answer', async () => {
    const reading: Serializer['deserialize'] = async (content, manifest) => {
      if (content.length === 0) await new Promise(() => undefined);
      return deserialize(content, manifest);
    };
    const [result] = await serializerResults({ deserialize: reading }, ['corruption/hostile-content']);
    expect(result).toMatchObject({
      status: 'fail',
      error: { message: expect.stringContaining('did not finish') },
    });
  });

  it('that believe a length', async () => {
    const reading: Serializer['deserialize'] = (content, manifest) => {
      if (typeof content === 'string' || content[0] !== 0x0a) return deserialize(content, manifest);
      const claimed = ((content[1] ?? 0) | ((content[2] ?? 0) << 8) | ((content[3] ?? 0) << 16)) * 16;
      new Uint8Array(claimed).set(content.slice(0, Math.min(content.length, claimed)));
      return deserialize(content, manifest);
    };
    const [result] = await serializerResults({ deserialize: reading }, ['corruption/hostile-content']);
    expect(result).toMatchObject({
      status: 'fail',
      error: { message: expect.stringContaining('bytes were taken') },
    });
  });

  it('that change prototypes', async () => {
    const polluting: Serializer['deserialize'] = (content, manifest) => {
      const value = deserialize(content, manifest);
      for (const [key, field] of Object.entries(value ?? {})) {
        const target = ({} as Record<string, object>)[key];
        if (typeof target === 'object') Object.assign(target, field);
      }
      return value;
    };
    try {
      const results = await serializerResults({ deserialize: polluting }, ['corruption/prototype']);
      expect(failed(results)).toEqual(['corruption/prototype']);
    } finally {
      delete (Object.prototype as { polluted?: unknown }).polluted;
    }
  });

  it('that publish what cannot be carried', async () => {
    const results = await checkSerializer(
      {
        name: 'mutant',
        create: () => ({ ...testSerializer, serialize }),
        values: { a: 1 },
        refused: { a: 1 },
      },
      { only: ['corruption/refused-values'] },
    );
    expect(failed(results)).toEqual(['corruption/refused-values']);
  });

  it('and passes the healthy one', async () => {
    expect(failed(await serializerResults({}))).toEqual([]);
  });
});
