import { join } from 'node:path';
import { cruise, type ICruiseResult } from 'dependency-cruiser';
import { beforeAll, describe, expect, it } from 'vitest';
import { publicPackages, repository } from '../packaging/packages.ts';
import { arrowsOf } from '../structure/arrows.ts';

interface Arrow {
  readonly from: string;
  readonly to: string;
}

const packages = publicPackages();
let circles: readonly string[];
let arrows: readonly Arrow[];

beforeAll(async () => {
  const { output } = await cruise(
    packages.map(({ folder }) => `packages/${folder}/src`),
    {
      baseDir: repository,
      // Imports of types count.
      tsPreCompilationDeps: true,
      doNotFollow: { path: ['node_modules'] },
      exclude: { path: ['node_modules', '/dist/'] },
      validate: true,
      ruleSet: { forbidden: [{ name: 'circle', severity: 'error', from: {}, to: { circular: true } }] },
    },
    { extensions: ['.ts'], conditionNames: ['import', 'default'] },
    { tsConfig: { options: {} } },
  );
  const { modules, summary } = output as ICruiseResult;
  circles = summary.violations.map(({ from, cycle = [] }) =>
    [from, ...cycle.map(({ name }) => name)].join(' → '),
  );
  arrows = modules.flatMap(({ source, dependencies }) =>
    dependencies.map(({ resolved }) => ({ from: source, to: resolved })),
  );
}, 120_000);

describe('imports', () => {
  it('were read', () => {
    expect(arrows.length).toBeGreaterThan(300);
  });

  it('run in no circle, types included', () => {
    expect(circles).toEqual([]);
  });

  it.each(packages.filter(({ folder }) => arrowsOf(folder) !== undefined))(
    'of $folder run down its rooms only',
    ({ folder }) => {
      const allowed = arrowsOf(folder) ?? {};
      const source = join('packages', folder, 'src');
      const roomOf = (file: string): string | undefined =>
        file.startsWith(`${source}/`) ? file.slice(source.length + 1).replace(/\/.*|\.ts$/, '') : undefined;
      const wrong = arrows.filter(({ from, to }) => {
        const [above, below] = [roomOf(from), roomOf(to)];
        // What a package exports may come from every room.
        if (above === undefined || below === undefined || above === below || /^(index|adapter)$/.test(above))
          return false;
        return allowed[above]?.includes(below) !== true;
      });
      expect(wrong.map(({ from, to }) => `${from} → ${to}`)).toEqual([]);
    },
  );
});
