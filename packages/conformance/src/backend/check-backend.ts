import {
  type BehaviourHost,
  type BehaviourResult,
  type BehaviourSelection,
  checkBehaviours,
} from '../behaviour.ts';
import { type BackendBehaviour, BackendContext } from './backend-context.ts';
import { browse } from './browse.ts';
import { concurrencyAndBackpressure } from './concurrency-and-backpressure.ts';
import { deadLetter } from './dead-letter.ts';
import { dispatcher } from './dispatcher.ts';
import { dispatcherOutcomes } from './dispatcher-outcomes.ts';
import { faults } from './faults.ts';
import { foreignMessages } from './foreign-messages.ts';
import { leases } from './leases.ts';
import { ordering } from './ordering.ts';
import { outages } from './outages.ts';
import { publish } from './publish.ts';
import { replay } from './replay.ts';
import { retry } from './retry.ts';
import { settle } from './settle.ts';
import { shutdown } from './shutdown.ts';
import { stalls } from './stalls.ts';
import { standingKeys } from './standing-keys.ts';
import { subscribe } from './subscribe.ts';
import type { BackendSuiteOptions } from './suite-options.ts';
import { topicsAndFilters } from './topics-and-filters.ts';
import { topology } from './topology.ts';

/**
 * All that a backend must do, in the order in which an adapter comes to be: topology, publish, receive, settle, retry, faults,
 * and then what the dispatcher makes of it.
 */
export const backendBehaviours: readonly BackendBehaviour[] = [
  ...topology,
  ...publish,
  ...topicsAndFilters,
  ...subscribe,
  ...ordering,
  ...concurrencyAndBackpressure,
  ...settle,
  ...deadLetter,
  ...retry,
  ...replay,
  ...browse,
  ...leases,
  ...shutdown,
  ...faults,
  ...outages,
  ...stalls,
  ...dispatcher,
  ...dispatcherOutcomes,
  ...standingKeys,
  ...foreignMessages,
];

/** Makes and clears up the contexts of one suite. */
export function backendHost(options: BackendSuiteOptions): BehaviourHost<BackendContext> {
  return {
    open: () => BackendContext.open(options),
    close: (context) => context.close(),
    account: ({ ledger }) => ledger.toString(),
    // Some behaviours wait several times; each wait is bounded by the patience.
    timeoutMs: (options.patienceMs ?? 15_000) * 2,
  };
}

/** Runs the suite without vitest: for tests of the suite itself. */
export function checkBackend(
  options: BackendSuiteOptions,
  selection?: BehaviourSelection,
): Promise<BehaviourResult[]> {
  return checkBehaviours(backendBehaviours, backendHost(options), selection);
}
