import {
  type BehaviourHost,
  type BehaviourResult,
  type BehaviourSelection,
  checkBehaviours,
} from '../behaviour.ts';
import { register } from '../register.ts';
import { serializerBehaviours } from './behaviours.ts';
import type { SerializerContext, SerializerSuiteOptions } from './serializer-context.ts';

/** Registers the conformance suite of serializers as tests of vitest, at the top level of a test file. */
export function describeSerializer(options: SerializerSuiteOptions): void {
  register('serializer', options.name, serializerBehaviours, serializerHost(options));
}

/** Runs the suite without vitest: for tests of the suite itself. */
export function checkSerializer(
  options: SerializerSuiteOptions,
  selection?: BehaviourSelection,
): Promise<BehaviourResult[]> {
  return checkBehaviours(serializerBehaviours, serializerHost(options), selection);
}

function serializerHost(options: SerializerSuiteOptions): BehaviourHost<SerializerContext> {
  return {
    open: async () => ({ ...options, serializer: await options.create() }),
    close: async () => {},
    timeoutMs: 30_000,
  };
}
