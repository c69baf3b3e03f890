import { register } from '../register.ts';
import { backendBehaviours, backendHost } from './check-backend.ts';
import type { BackendSuiteOptions } from './suite-options.ts';

/**
 * Registers the conformance suite of messaging backends as tests of vitest. Call it at the top level of a
 * test file named `conformance.test.ts`. Behaviours that the broker cannot have are skipped, each with its
 * reason.
 */
export function describeBackend(options: BackendSuiteOptions): void {
  register('backend', options.name, backendBehaviours, backendHost(options));
}
