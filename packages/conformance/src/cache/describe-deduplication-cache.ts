import { register } from '../register.ts';
import { cacheBehaviours } from './behaviours.ts';
import type { CacheSuiteOptions } from './cache-context.ts';
import { cacheHost } from './check-deduplication-cache.ts';

/** Registers the conformance suite of deduplication caches as tests of vitest, at the top level of a test file. */
export function describeDeduplicationCache(options: CacheSuiteOptions): void {
  register('deduplication cache', options.name, cacheBehaviours, cacheHost(options));
}
