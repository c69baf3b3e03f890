import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { run } from '../../apps/brokers/src/processes.ts';
import { publicPackages, repository } from '../packaging/packages.ts';
import { longFiles } from '../structure/long-files.ts';
import { undocumented } from '../structure/undocumented.ts';

/** What the name of an adapter's folder begins with, and how its main file ends. */
const roles: Readonly<Record<string, string>> = {
  backend: 'backend',
  serializer: 'serializer',
  dedup: 'deduplication-cache',
};
const maximumLines = 300;

const files = (
  await run('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { cwd: repository })
).stdout
  .split('\n')
  .filter((file) => file !== '' && existsSync(join(repository, file)));
const packages = publicPackages();
const adapters = packages.filter(({ folder }) => roleOf(folder) !== undefined);

const read = (file: string): string => readFileSync(join(repository, file), 'utf8');
const sourcesOf = (folder: string): readonly string[] =>
  files.filter((file) => file.startsWith(`packages/${folder}/src/`) && file.endsWith('.ts'));

describe('a package', () => {
  it.each(packages)('$folder exports by name, and describes what it exports', ({ folder, manifest }) => {
    for (const file of sourcesOf(folder)) expect(read(file), file).not.toMatch(/^export \*/m);
    for (const entry of Object.values(manifest.exports ?? {})) {
      expect(undocumented(join(repository, 'packages', folder, String(entry)), repository)).toEqual([]);
    }
  });

  it.each(packages)('$folder imports only what it names', ({ folder, manifest }) => {
    const allowed = Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies });
    const imported = new Set(sourcesOf(folder).filter(isPublished).flatMap(importedBy));
    expect([...imported].filter((name) => !allowed.includes(name))).toEqual([]);
    expect(allowed.filter((name) => !imported.has(name))).toEqual([]);
  });

  it.each(packages)('$folder has no base class for others to extend', ({ folder }) => {
    for (const file of sourcesOf(folder)) expect(read(file), file).not.toMatch(/^(export )?abstract class/m);
  });
});

describe('a README', () => {
  const headings = ['Install', 'Use', 'Options', 'Guarantees and limits', 'Test locally'];

  it.each(packages)(
    'of $folder says in one sentence what it is, and the rest under known headings',
    (one) => {
      const text = read(`packages/${one.folder}/README.md`);
      const [title, sentence] = text.split('\n\n');
      expect(title).toBe(`# ${one.manifest.name}`);
      expect(sentence).toMatch(/^[A-Z].*[^.]\.$/s);
      expect(sentence).not.toMatch(/[.!?]\s+[A-Z]/);
      expect([...text.matchAll(/^## (.+)$/gm)].map(([, heading]) => heading)).toEqual(headings);
      expect(text.split('\n').length - 1).toBeLessThanOrEqual(120);
    },
  );
});

describe('the core', () => {
  it('depends on nothing', () => {
    const core = packages.find(({ folder }) => folder === 'core');
    expect(core?.manifest).not.toHaveProperty('dependencies');
    expect(core?.manifest).not.toHaveProperty('peerDependencies');
  });

  it('names no broker', () => {
    const technology = /rabbit|amqp|kafka|\bs[qn]s\b|redis|nats|pulsar|\baws\b|protobufjs|ioredis/i;
    for (const file of sourcesOf('core')) expect(read(file), file).not.toMatch(technology);
  });
});

describe('an adapter', () => {
  it.each(adapters)('$folder depends on the core, the backend kit and its client only', ({ manifest }) => {
    expect(Object.keys(manifest.peerDependencies ?? {})).toEqual(['@melange/core']);
    const own = Object.keys(manifest.dependencies ?? {}).filter((name) => name.startsWith('@melange/'));
    // What several adapters on Postgres share.
    const shared = ['@melange/backend-kit', '@melange/postgres'];
    expect(own.filter((name) => !shared.includes(name))).toEqual([]);
  });

  it.each(adapters)('$folder has the files that a reader looks for', ({ folder }) => {
    const [role, technology] = [roleOf(folder) as string, folder.slice(folder.indexOf('-') + 1)];
    const required = ['README.md', 'tsconfig.build.json', 'src/index.ts', 'test/conformance.test.ts'];
    const hasRooms = files.includes(`packages/${folder}/src/backend.ts`);
    if (hasRooms) required.push('src/options.ts');
    else required.push(`src/${technology}-${roles[role]}.ts`);
    if (role === 'backend' && !hasRooms)
      required.push(`src/${technology}-options.ts`, `src/${technology}-message-mapper.ts`);
    expect(required.filter((file) => !files.includes(`packages/${folder}/${file}`))).toEqual([]);
    const words = ['describeBackend', 'describeSerializer', 'describeDeduplicationCache'].join('|');
    expect(read(`packages/${folder}/test/conformance.test.ts`)).toMatch(new RegExp(`^ *(${words})\\(`, 'm'));
  });
});

describe('a file', () => {
  const code = files.filter((file) => file.endsWith('.ts') && !file.endsWith('.static.d.ts'));
  const linesOf = (file: string): number => read(file).split('\n').length - 1;

  it(`has at most ${maximumLines} lines, or a reason`, () => {
    const long = code.filter((file) => linesOf(file) > maximumLines);
    expect(long.filter((file) => longFiles[file] === undefined)).toEqual([]);
    // A reason that is not needed any more goes.
    expect(Object.keys(longFiles).filter((file) => !long.includes(file))).toEqual([]);
  });

  it('holds no path of a machine and no host of a registry', () => {
    const texts = files.filter((file) => !/\.(png|ico|woff2?|tgz|bin|wasm)$/.test(file));
    const path = /(^|[\s"'`(=:])\/(home|root|Users|work)\/[a-z]/m;
    const registry = /registry\.[a-z]+\.(org|com)/;
    expect(texts.filter((file) => path.test(read(file)) || registry.test(read(file)))).toEqual([]);
  });
});

describe('what CI runs', () => {
  it('is one list of steps', () => {
    const steps = [...read('.ci/run').matchAll(/^"\$\{pnpm\[@\]\}" (\w+)/gm)].map(([, step]) => step);
    expect(steps).toEqual(['install', 'verify']);
    expect(read('.github/workflows/ci.yml')).toContain('bash .ci/run');
  });
});

function roleOf(folder: string): string | undefined {
  const [first] = folder.split('-');
  return first !== undefined && first in roles && folder !== first && folder !== 'backend-kit'
    ? first
    : undefined;
}

/** Left out: what reports on this repository, which no package brings. */
function isPublished(file: string): boolean {
  return !file.startsWith('packages/conformance/src/report/');
}

/** Names of the packages that a file imports, without Node's own. */
function importedBy(file: string): readonly string[] {
  const specifiers = [...read(file).matchAll(/(?:from|import|import\() ?'([^'.][^']*)'/g)].map(
    ([, name]) => name as string,
  );
  const names = specifiers.filter((name) => !name.startsWith('node:'));
  return names.map((name) =>
    name
      .split('/')
      .slice(0, name.startsWith('@') ? 2 : 1)
      .join('/'),
  );
}
