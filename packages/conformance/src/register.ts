import { describe, it } from 'vitest';
import { type Behaviour, type BehaviourHost, checkUntilLeftToDo } from './behaviour.ts';

/** What the report reads of each test, put into vitest's task meta because its JSON has no skip reasons. */
export interface ConformanceNote {
  readonly suite: 'backend' | 'serializer' | 'deduplication cache';
  readonly subject: string;
  readonly id: string;
  readonly group: string;
  readonly title: string;
  readonly skipReason?: string;
}

declare module 'vitest' {
  interface TaskMeta {
    conformance?: ConformanceNote;
  }
}

/** Closing and clearing up come on top of a behaviour's own bound. */
const marginMs = 30_000;

/** Registers behaviours as tests of vitest, grouped, each in a context of its own. */
export function register<Context>(
  suite: ConformanceNote['suite'],
  subject: string,
  list: readonly Behaviour<Context>[],
  host: BehaviourHost<Context>,
): void {
  const check = checkUntilLeftToDo(host);
  describe(`${suite} ${subject}`, () => {
    for (const group of new Set(list.map((behaviour) => behaviour.group))) {
      describe(group, () => {
        for (const behaviour of list.filter((candidate) => candidate.group === group)) {
          const timeout = (behaviour.timeoutMs ?? host.timeoutMs) + marginMs;
          it(behaviour.title, { timeout }, async (test) => {
            const { id, title } = behaviour;
            const note: ConformanceNote = { suite, subject, id, group, title };
            test.task.meta.conformance = note;
            const result = await check(behaviour);
            if (result.status === 'fail') throw result.error;
            if (result.status === 'skip') {
              test.task.meta.conformance = { ...note, skipReason: result.reason };
              test.skip(result.reason);
            }
          });
        }
      });
    }
  });
}
