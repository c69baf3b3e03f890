import { parseArgs } from 'node:util';
import { planOf, type RunResult, runPlan, shrink } from '@melange/conformance/simulation';

const usage = 'usage: pnpm simulate [--seeds N] [--from S] [--seed S]';

process.exitCode = await main();

/** Runs schedules, one after the other, and prints the first one that breaks an invariant, made small. */
async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { seeds: { type: 'string' }, from: { type: 'string' }, seed: { type: 'string' } },
  });
  const one = values.seed === undefined ? undefined : Number(values.seed);
  const from = one ?? Number(values.from ?? 1);
  const count = one === undefined ? Number(values.seeds ?? 1_000) : 1;
  if (!Number.isSafeInteger(from) || !Number.isSafeInteger(count)) {
    console.error(usage);
    return 2;
  }
  const began = performance.now();
  let events = 0;
  for (let seed = from; seed < from + count; seed += 1) {
    const result = await runPlan(planOf(seed));
    events += result.events;
    if (result.violations.length > 0) {
      print(await shrink(result));
      return 1;
    }
  }
  const seconds = (performance.now() - began) / 1000;
  console.log(
    `${count} schedules, ${events} events, no invariant broken; ${Math.round(count / seconds)} schedules a second`,
  );
  return 0;
}

function print({ plan, violations, timeline }: RunResult): void {
  console.log(`seed ${plan.seed}: ${violations.map(({ message }) => message).join('\n')}`);
  console.log(JSON.stringify({ ...plan, messages: plan.messages.length }));
  for (const { at, who, what } of timeline) console.log(`${String(at).padStart(8)} ms  ${who}: ${what}`);
}
