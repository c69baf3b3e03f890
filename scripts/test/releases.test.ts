import { cp, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { run } from '../../apps/brokers/src/processes.ts';
import { publicPackages, repository } from '../packaging/packages.ts';

const changeset = join(repository, 'node_modules/@changesets/cli/bin.js');
let copy: string;

/** A copy of what `changeset version` reads and writes, released once: what waits in `.changeset/` is used up. */
beforeAll(async () => {
  copy = await mkdtemp(join(tmpdir(), 'melange-release-'));
  const files = ['package.json', 'pnpm-workspace.yaml', '.changeset'];
  for (const folder of ['packages', 'apps']) {
    for (const name of await readdir(join(repository, folder))) files.push(`${folder}/${name}/package.json`);
  }
  for (const file of files) await cp(join(repository, file), join(copy, file), { recursive: true });
  await symlink(join(repository, 'node_modules'), join(copy, 'node_modules'));
  await git('init', '--quiet', '--initial-branch=main');
  await commit();
  await version();
});

afterAll(() => rm(copy, { recursive: true, force: true }));

it('a minor of the core is a release of the core alone', async () => {
  const before = versions();
  const [major, minor] = numbersOf(before['@melange/core'] as string);
  await release('@melange/core', 'minor');
  expect(versions()).toEqual({ ...before, '@melange/core': `${major}.${minor + 1}.0` });
});

it('the cores of one major fit all adapters of that major', () => {
  for (const { manifest } of publicPackages(copy)) {
    const range = manifest.peerDependencies?.['@melange/core'];
    // Published as ^ and the version: below 1.0.0 a minor of the core would be out of that range.
    if (range !== undefined) expect(range, manifest.name).toBe('workspace:^');
    expect(numbersOf(manifest.version)[0], manifest.name).toBeGreaterThan(0);
  }
});

it('a patch of an adapter is a release of that adapter alone', async () => {
  const before = versions();
  await release('@melange/backend-memory', 'patch');
  const after = versions();
  expect(after['@melange/backend-memory']).not.toBe(before['@melange/backend-memory']);
  expect(after).toEqual({ ...before, '@melange/backend-memory': after['@melange/backend-memory'] });
});

it('a major of the core is one of every adapter', async () => {
  const [major] = numbersOf(versions()['@melange/core'] as string);
  await release('@melange/core', 'major');
  expect(new Set(Object.values(versions()))).toEqual(new Set([`${major + 1}.0.0`]));
});

it('names the repository that published it', async () => {
  const script = join(repository, 'scripts/packaging/name-repository.ts');
  const env = { ...process.env, GITHUB_SERVER_URL: 'https://git.example', GITHUB_REPOSITORY: 'some/fork' };
  await run(process.execPath, ['--import', 'tsx', script], { cwd: copy, env });
  for (const { folder, manifest } of publicPackages(copy)) {
    const url = 'git+https://git.example/some/fork.git';
    expect(manifest.repository).toEqual({ type: 'git', url, directory: `packages/${folder}` });
  }
});

function versions(): Record<string, string> {
  return Object.fromEntries(
    publicPackages(copy).map(({ manifest }): [string, string] => [manifest.name, manifest.version]),
  );
}

function numbersOf(text: string): readonly [number, number] {
  const [major, minor] = text.split('.').map(Number);
  return [major as number, minor as number];
}

async function release(name: string, bump: string): Promise<void> {
  await writeFile(join(copy, '.changeset/next.md'), `---\n'${name}': ${bump}\n---\n\nSomething.\n`);
  await version();
}

async function version(): Promise<void> {
  await run(process.execPath, [changeset, 'version'], { cwd: copy });
  await commit();
}

async function commit(): Promise<void> {
  await git('add', '--all');
  await git('-c', 'user.name=test', '-c', 'user.email=test@localhost', 'commit', '--quiet', '-m', 'State');
}

function git(...parameters: readonly string[]): Promise<unknown> {
  return run('git', parameters, { cwd: copy });
}
