import {
  type BehaviourHost,
  type BehaviourResult,
  type BehaviourSelection,
  checkBehaviours,
} from '../behaviour.ts';
import { cacheBehaviours } from './behaviours.ts';
import { CacheContext, type CacheSuiteOptions } from './cache-context.ts';

/** Makes and closes the caches of one suite. */
export function cacheHost(options: CacheSuiteOptions): BehaviourHost<CacheContext> {
  return { open: () => CacheContext.open(options), close: (context) => context.close(), timeoutMs: 30_000 };
}

/** Runs the suite without vitest: for tests of the suite itself. */
export function checkDeduplicationCache(
  options: CacheSuiteOptions,
  selection?: BehaviourSelection,
): Promise<BehaviourResult[]> {
  return checkBehaviours(cacheBehaviours, cacheHost(options), selection);
}
