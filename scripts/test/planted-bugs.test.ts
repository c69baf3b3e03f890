import { pathToFileURL } from 'node:url';
import type * as Simulation from '@melange/conformance/simulation';
import { expect, it } from 'vitest';
import { bundle } from '../simulate/bundle.ts';
import { plantedBugs } from '../simulate/planted-bugs.ts';

it('knows at least 25 bugs, each by a name of its own', () => {
  expect(new Set(plantedBugs.map(({ name }) => name)).size).toBe(plantedBugs.length);
  expect(plantedBugs.length).toBeGreaterThanOrEqual(25);
});

// With the seed that `pnpm simulate --planted` found: the search takes minutes.
it.each(plantedBugs)(
  'finds that $name',
  async ({ seed, invariant, ...change }) => {
    const file = await bundle('./exports.ts', [change]);
    const { planOf, runPlan }: typeof Simulation = await import(pathToFileURL(file).href);
    const { violations } = await runPlan(planOf(seed));
    expect(violations.map((violation) => violation.invariant)).toContain(invariant);
  },
  60_000,
);

it('finds none where none is planted', async () => {
  const { planOf, runPlan }: typeof Simulation = await import(
    pathToFileURL(await bundle('./exports.ts')).href
  );
  for (const seed of new Set(plantedBugs.map((bug) => bug.seed)))
    expect((await runPlan(planOf(seed))).violations.map(({ message }) => message)).toEqual([]);
}, 120_000);
