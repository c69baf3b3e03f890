import { MemoryBackend, memoryCapabilities } from '@melange/backend-memory';
import type { MessagingBackend, Serializer } from '@melange/core';
import { describe, expect, it } from 'vitest';
import { checkBackend } from '../src/backend/check-backend.ts';
import { testSerializer } from '../src/backend/test-serializer.ts';
import type { BehaviourResult } from '../src/behaviour.ts';
import { checkDeduplicationCache } from '../src/cache/check-deduplication-cache.ts';
import { checkSerializer } from '../src/serializer/describe-serializer.ts';
import { mutantBackends } from './support/mutant-backends.ts';
import { type CacheDefects, NaiveCache } from './support/naive-cache.ts';

const failed = (results: readonly BehaviourResult[]) =>
  results.filter((result) => result.status === 'fail').map((result) => result.id);

function backendResults(
  alter: (healthy: MessagingBackend) => MessagingBackend,
  only?: string[],
  patienceMs = 400,
): Promise<BehaviourResult[]> {
  return checkBackend(
    {
      name: 'mutant',
      create: () => ({ backend: alter(new MemoryBackend()) }),
      capabilities: memoryCapabilities,
      patienceMs,
      quietMs: 40,
    },
    only === undefined ? {} : { only },
  );
}

function cacheResults(defects: CacheDefects): Promise<BehaviourResult[]> {
  return checkDeduplicationCache({
    name: 'mutant',
    races: 20,
    create: ({ ttlMs }) => {
      let now = 0;
      const elapse = (milliseconds: number) => {
        now += milliseconds;
      };
      return { cache: new NaiveCache({ ttlMs, now: () => now }, defects), elapse };
    },
  });
}

function serializerResults(changes: Partial<Serializer>): Promise<BehaviourResult[]> {
  const values = { object: { text: 'ž', list: [1, { deep: 'x' }] }, text: 'plain', number: 1.5 };
  return checkSerializer({ name: 'mutant', create: () => ({ ...testSerializer, ...changes }), values });
}

describe('the suite finds defective backends', () => {
  for (const { defect, caughtBy, alter } of mutantBackends) {
    it(defect, async () => {
      expect(failed(await backendResults(alter, [caughtBy]))).toEqual([caughtBy]);
    });
  }

  it('and passes the healthy one', { timeout: 60_000 }, async () => {
    const results = await backendResults((healthy) => healthy, undefined, 5_000);
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

  it('and passes the healthy one', async () => {
    expect(failed(await cacheResults({}))).toEqual([]);
  });
});

describe('the suite finds defective serializers', () => {
  it('that throw errors of their own', async () => {
    const changes = { deserialize: (content: string | Uint8Array) => JSON.parse(String(content)) as unknown };
    expect(failed(await serializerResults(changes))).toContain('corruption/mutations');
  });

  it('whose manifest changes', async () => {
    let count = 0;
    const manifest = () => {
      count += 1;
      return `json-${count}`;
    };
    expect(failed(await serializerResults({ manifest }))).toContain('round-trip/manifest-is-stable');
  });

  it('that lose what is not ASCII', async () => {
    const serialize = (value: unknown) => JSON.stringify(value).replaceAll(/[^ -~]/g, '?');
    expect(failed(await serializerResults({ serialize }))).toContain('round-trip/values');
  });

  it('and passes the healthy one', async () => {
    expect(failed(await serializerResults({}))).toEqual([]);
  });
});
