import { bundle } from './bundle.ts';
import { plantedBugs } from './planted-bugs.ts';
import { runSeeds } from './run-seeds.ts';

/** Each bug is to be found within so many seeds. */
const maxSeeds = 10_000;

/** Plants each bug by itself, and prints the first seed that finds it. True when all were found. */
export async function findPlantedBugs(only?: string): Promise<boolean> {
  let isAllFound = true;
  for (const { name, ...change } of plantedBugs) {
    if (only !== undefined && !name.includes(only)) continue;
    const file = await bundle('./worker.ts', [change]);
    const options = { from: 1, count: maxSeeds, workers: 2, onlyFirst: true };
    const { broken, done, seconds } = await runSeeds(file, options);
    const first = broken[0];
    isAllFound &&= first !== undefined;
    console.log(
      first === undefined
        ? `NOT FOUND in ${done} seeds: ${name}`
        : `${name}: seed ${first.seed} (${first.invariants.join('; ')}), ${done} seeds in ${seconds.toFixed(1)} s`,
    );
  }
  return isAllFound;
}
