import { parseArgs } from 'node:util';
import { planOf, runPlan, shrink, timelineText } from '@melange/conformance/simulation';
import { bundle } from './bundle.ts';
import { findPlantedBugs } from './find-planted-bugs.ts';
import { runSeeds } from './run-seeds.ts';

const usage = `usage: pnpm simulate [--seeds N] [--from S] [--workers N] | --seed S | --planted

Runs the dispatcher, the kit and the publishers on simulated brokers, through schedules of faults.
  --seeds     schedules, each of 50 messages (default: 20,000)
  --from      the first seed (default: 1)
  --workers   threads (default: 2)
  --seed      one schedule: made small where it breaks an invariant, and printed
  --planted   plants each bug of planted-bugs.ts, and prints the first seed that finds it
Exit code: 0, 1 where an invariant broke or a bug was not found, 2 for wrong parameters.`;

process.exit(await main());

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string', default: '20000' },
      from: { type: 'string', default: '1' },
      workers: { type: 'string', default: '2' },
      seed: { type: 'string' },
      planted: { type: 'boolean', default: false },
    },
  });
  const [count, from, workers] = [Number(values.seeds), Number(values.from), Number(values.workers)];
  const one = values.seed === undefined ? undefined : Number(values.seed);
  if (![count, from, workers, one ?? 0].every(Number.isSafeInteger)) {
    console.error(usage);
    return 2;
  }
  if (values.planted) return (await findPlantedBugs()) ? 0 : 1;
  return one === undefined ? runMany(from, count, workers) : runOne(one);
}

async function runMany(from: number, count: number, workers: number): Promise<number> {
  const file = await bundle('./worker.ts');
  const result = await runSeeds(file, { from, count, workers, onlyFirst: true });
  const { done, messages, events, seconds, faults, broken } = result;
  const rate = Math.round(done / seconds);
  console.log(
    `${done} schedules with ${messages} messages and ${events} events in ${seconds.toFixed(1)} s: ${rate} schedules a second`,
  );
  const byCount = [...faults].sort(([, left], [, right]) => right - left);
  console.log(byCount.map(([fault, times]) => `${fault} ${times}`).join(', '));
  if (broken.length === 0) {
    console.log('no invariant broke');
    return 0;
  }
  for (const { seed, invariants } of broken) console.log(`seed ${seed} broke: ${invariants.join('; ')}`);
  return runOne(broken[0]?.seed ?? from);
}

async function runOne(seed: number): Promise<number> {
  const result = await runPlan(planOf(seed), { tell: true });
  if (result.violations.length === 0) {
    console.log(timelineText(result));
    return 0;
  }
  console.log(timelineText(await shrink(result)));
  return 1;
}
