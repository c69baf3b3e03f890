import type { Plan } from './plan/plan.ts';
import { type RunResult, runPlan } from './run.ts';

/**
 * Makes a plan smaller that breaks an invariant: fewer faults, fewer messages, as long as it breaks the same one.
 *
 * @param result a run with a violation.
 */
export async function shrink(result: RunResult): Promise<RunResult> {
  let smallest = result;
  const invariant = result.violations[0]?.invariant;
  const smaller = async (plan: Plan): Promise<boolean> => {
    const tried = await runPlan(plan);
    if (!tried.violations.some((violation) => violation.invariant === invariant)) return false;
    smallest = tried;
    return true;
  };
  for (const part of ['faults', 'messages'] as const) {
    for (
      let size = Math.ceil(smallest.plan[part].length / 2);
      size >= 1;
      size = size === 1 ? 0 : Math.ceil(size / 2)
    ) {
      for (let start = 0; start < smallest.plan[part].length; ) {
        const left = smallest.plan[part].filter((_, place) => place < start || place >= start + size);
        if (!(await smaller({ ...smallest.plan, [part]: left }))) start += size;
      }
    }
  }
  return runPlan(smallest.plan, { tell: true });
}
