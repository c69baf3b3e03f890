import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core';
import { transform } from 'esbuild';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { nodeMajors, nodeOfMajor } from '../packaging/node-versions.ts';
import { packAll, publicPackages, repository } from '../packaging/packages.ts';
import { type Stranger, stranger } from '../packaging/stranger.ts';

const packages = publicPackages();
// npm fetches what it has not seen before.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 300_000 });
let tarballs: ReadonlyMap<string, string>;
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'melange-tarballs-'));
  tarballs = await packAll(folder);
});

afterAll(() => rm(folder, { recursive: true, force: true }));

describe('a packed package', () => {
  const tarball = (name: string): Promise<Buffer> => readFile(tarballs.get(name) as string);

  it.each(packages)('$manifest.name pleases publint', async ({ manifest: { name } }) => {
    const packed = new Uint8Array(await tarball(name)).buffer;
    const { messages, pkg } = await publint({ pack: { tarball: packed }, strict: true });
    expect(messages.map((message) => formatMessage(message, pkg, { color: false }))).toEqual([]);
  });

  it.each(packages)(
    '$manifest.name has types for every way of importing it, node10 included',
    async ({ manifest }) => {
      const result = await checkPackage(createPackageFromTarballData(await tarball(manifest.name)));
      if (result.types === false) throw new Error(`${manifest.name} has no types`);
      const entries = Object.keys(result.entrypoints).filter((entry) => entry !== './package.json');
      expect(entries).toEqual(Object.keys(manifest.exports ?? {}));
      // What CommonJS finds is ESM, which Node `require`s from 20.19 on.
      const problems = result.problems.filter(({ kind }) => kind !== 'CJSResolvesToESM');
      expect(problems).toEqual([]);
    },
  );

  it.each(packages)('$manifest.name brings its licence and only what it needs', async ({ manifest }) => {
    const packed = createPackageFromTarballData(await tarball(manifest.name));
    const root = `/node_modules/${manifest.name}`;
    const files = packed.listFiles().map((file) => file.slice(root.length + 1));
    expect(files).toEqual(expect.arrayContaining(['package.json', 'README.md', 'LICENSE']));
    const allowed =
      /^(package\.json|README\.md|LICENSE|bin\/.+\.js|dist\/page\/.+\.(html|css)|dist\/.+\.(js|d\.ts)|fixtures\/wire\/.+)$/;
    expect(files.filter((file) => !allowed.test(file))).toEqual([]);

    const published = JSON.parse(packed.readFile(`${root}/package.json`)) as Record<string, unknown>;
    expect(published).toMatchObject({
      type: 'module',
      license: 'MIT',
      sideEffects: false,
      engines: { node: '>=20.19' },
      publishConfig: { access: 'public' },
    });
    expect(JSON.stringify(published)).not.toMatch(/workspace:|\.\/src\//);
  });

  it('has the core as its peer, so that an application has it once', () => {
    for (const { manifest } of packages) {
      expect(manifest.dependencies ?? {}, manifest.name).not.toHaveProperty('@melange/core');
      if (manifest.name === '@melange/core') continue;
      expect(manifest.peerDependencies, manifest.name).toHaveProperty('@melange/core');
    }
  });
});

describe('in an empty project', () => {
  let project: Stranger;

  beforeAll(async () => {
    project = await stranger([...tarballs.values(), 'vitest@4', 'typescript@5.9', '@types/node@20', 'zod@4']);
    const example = `${endsByItself}\n${await readmeExample()}`;
    await project.write('example.ts', example);
    await project.write('example.js', (await transform(example, { loader: 'ts', target: 'es2022' })).code);
    const imports = packages.map(({ manifest }, index) => `import * as p${index} from '${manifest.name}';`);
    const names = packages.map((_, index) => `p${index}`).join(', ');
    await project.write('all.ts', `${imports.join('\n')}\nconsole.log([${names}].length);\n`);
  });

  afterAll(() => project.remove());

  it('npm installs one core for all adapters', () => {
    const inside = packages.map(({ manifest }) => `node_modules/${manifest.name}/node_modules/@melange/core`);
    expect(inside.filter((path) => existsSync(join(project.path, path)))).toEqual([]);
  });

  it.each(nodeMajors)('the example of the README runs as JavaScript on Node %s', async (major) => {
    expect(await project.run(await nodeOfMajor(major), 'example.js')).toContain('4711');
  });

  const newest = join(repository, 'node_modules/typescript/bin/tsc');
  const oldest = 'node_modules/typescript/bin/tsc';
  const nodenext = ['--module', 'nodenext', '--moduleResolution', 'nodenext'];
  const bundler = ['--module', 'esnext', '--moduleResolution', 'bundler'];
  const strict = [
    ['--strict', '--exactOptionalPropertyTypes', '--noUncheckedIndexedAccess', '--noImplicitOverride'],
    ['--noPropertyAccessFromIndexSignature', '--verbatimModuleSyntax', '--isolatedModules'],
    ['--target', 'es2022', '--lib', 'es2023,esnext.disposable', '--types', 'node', '--skipLibCheck', 'false'],
  ].flat();

  it.each([
    ['TypeScript 7, nodenext', newest, nodenext, ['example.ts', 'all.ts']],
    ['TypeScript 7, bundler', newest, bundler, ['example.ts', 'all.ts']],
    ['TypeScript 5.9, nodenext', oldest, nodenext, ['example.ts']],
  ])('it compiles under strict settings and runs: %s', async (_, compiler, resolution, files) => {
    const parameters = [compiler, ...strict, ...resolution, '--outDir', 'built', ...files];
    const output = await project.run(process.execPath, ...parameters).catch(String);
    // Declarations of a client library that strict settings refuse are its own affair: `skipLibCheck` is for them.
    const errors = output.split('\n').filter((line) => /error TS\d+/.test(line));
    expect(errors.filter((line) => !/^node_modules\/(?!@melange\/)/.test(line))).toEqual([]);
    for (const major of nodeMajors) {
      expect(await project.run(await nodeOfMajor(major), 'built/example.js'), major).toContain('4711');
    }
  });

  it('an adapter’s author runs the conformance suite', async () => {
    await project.write('conformance.test.ts', conformanceTest);
    const parameters = ['node_modules/vitest/vitest.mjs', 'run', '--testNamePattern', 'settle'];
    const output = await project.run(process.execPath, ...parameters, '--reporter=json');
    const { numPassedTests, numFailedTests } = JSON.parse(output.slice(output.indexOf('{')));
    expect(numFailedTests).toBe(0);
    expect(numPassedTests).toBeGreaterThan(5);
  });
});

const conformanceTest = `
import { MemoryBackend, memoryCapabilities } from '@melange/backend-memory';
import { describeBackend } from '@melange/conformance';

describeBackend({
  name: 'memory',
  create: () => ({ backend: new MemoryBackend() }),
  capabilities: memoryCapabilities,
  quietMs: 50,
});
`;

/** As an orchestrator ends a service: once it has handled its message. */
const endsByItself = `
const print = console.log;
console.log = (line: string) => {
  print(line);
  process.kill(process.pid, 'SIGTERM');
};
`;

/** The first TypeScript in the README that uses the service. */
async function readmeExample(): Promise<string> {
  const readme = await readFile(join(repository, 'README.md'), 'utf8');
  const blocks = [...readme.matchAll(/^```ts[^\n]*\n(.*?)^```$/gms)].map(([, block]) => block as string);
  const example = blocks.find((block) => block.includes("from '@melange/service'"));
  if (example === undefined)
    throw new Error('README.md has no TypeScript example that uses @melange/service');
  return example;
}
