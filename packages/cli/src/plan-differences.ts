import type { QueueDescription } from '@melange/core';
import type { QueuePlan } from '@melange/service';

/** One way in which a broker is not as a service declares it. */
export interface Difference {
  readonly queue: string;
  /** `missing` and `different` are mended by `apply`; `undeclared` by `apply --remove`; `conflict` by nobody but you. */
  readonly kind: 'missing' | 'different' | 'undeclared' | 'conflict';
  readonly text: string;
}

/** What the broker's queue lacks, or has beyond the declaration. */
export function differencesOf(plan: QueuePlan, found: QueueDescription): readonly Difference[] {
  const { name: queue } = plan;
  if (!found.exists) return [{ queue, kind: 'missing', text: 'the queue does not exist' }];
  const differences: Difference[] = [];
  const add = (kind: Difference['kind'], text: string): void => void differences.push({ queue, kind, text });
  if (found.deadLetterQueue !== plan.deadLetterQueue)
    add(
      'conflict',
      `its dead-letter queue is ${found.deadLetterQueue ?? 'none'}, declared is ${plan.deadLetterQueue ?? 'none'}: a queue keeps the one that it was made with`,
    );
  const bound = found.topics;
  if (bound !== undefined) {
    for (const topic of plan.topics)
      if (!bound.includes(topic)) add('missing', `it does not receive topic ${topic}`);
    for (const topic of bound)
      if (!plan.topics.includes(topic))
        add('undeclared', `it receives topic ${topic}, which is not declared any more`);
  }
  // A queue without topics has nothing to filter.
  if (plan.topics.length > 0 && bound?.length !== 0) addFilter(plan, found, add);
  return differences;
}

function addFilter(
  { filter: wanted }: QueuePlan,
  { filter: taken }: QueueDescription,
  add: (kind: Difference['kind'], text: string) => void,
): void {
  if (wanted === undefined) {
    if (taken !== undefined)
      add('different', `it takes ${taken.join(', ') || 'nothing'} of its topics, declared is everything`);
    return;
  }
  if (taken === undefined) {
    add('undeclared', `it takes everything of its topics, declared is ${wanted.join(', ') || 'nothing'}`);
    return;
  }
  const lacking = wanted.filter((manifest) => !taken.includes(manifest));
  const beyond = taken.filter((manifest) => !wanted.includes(manifest));
  if (lacking.length > 0) add('different', `it does not take ${lacking.join(', ')}`);
  if (beyond.length > 0) add('undeclared', `it takes ${beyond.join(', ')}, which is not declared any more`);
}
