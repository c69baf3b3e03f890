import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { parsePage } from '../../apps/docs/src/markdown-page.ts';
import { nodeMajors, nodeOfMajor } from '../packaging/node-versions.ts';
import { packAll, repository } from '../packaging/packages.ts';
import { type Stranger, stranger } from '../packaging/stranger.ts';

// npm fetches what it has not seen before.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 300_000 });

const page = await readFile(join(repository, 'docs/commonjs-and-jest.md'), 'utf8');

/** The files and commands of one section of the page, under the heading that it is given without its `#`. */
function recipe(heading: string): {
  readonly files: Readonly<Record<string, string>>;
  readonly commands: readonly (readonly string[])[];
} {
  const section = page.split(/^##+ /m).find((text) => text.startsWith(`${heading}\n`));
  if (section === undefined) throw new Error(`docs/commonjs-and-jest.md has no section "${heading}"`);
  const { blocks } = parsePage('', section);
  const files = blocks.flatMap(({ words: [name], code }) => (name === undefined ? [] : [[name, code]]));
  const commands = blocks
    .filter(({ language }) => language === 'sh')
    .map(({ code }) => code.trim().split(' '));
  return { files: Object.fromEntries(files) as Record<string, string>, commands };
}

const ours = [
  'core',
  'metrics',
  'service',
  'backend-kit',
  'backend-memory',
  'dedup-memory',
  'serializer-json',
];
let folder: string;
let project: Stranger;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'melange-commonjs-'));
  const tarballs = await packAll(folder);
  const jest = [
    'jest@30',
    'ts-jest@29',
    'babel-jest@30',
    '@babel/preset-env@7',
    '@swc/core@1',
    '@swc/jest@0.2',
  ];
  const types = ['typescript@5.9', '@types/node@20', '@types/jest@30'];
  const packed = ours.map((name) => tarballs.get(`@melange/${name}`) as string);
  project = await stranger([...packed, ...jest, ...types, 'zod@4', 'tsx@4']);
});

afterAll(async () => {
  await project?.remove();
  await rm(folder, { recursive: true, force: true });
});

const commonjs = { 'package.json': '{"type":"commonjs"}' };
const modules = { 'package.json': '{"type":"module"}' };
const jest = '../node_modules/jest/bin/jest.js';

/** A test of the service in `billing.cjs` of the page, with a retry an hour later. */
const body = `
test('an order is billed at the second attempt', async () => {
  const t = await billing.test();
  await t.deliver('orders', new OrderPlaced({ id: '1' }));
  equal(t.counters().orders?.acknowledged, 0);
  await t.advance('1h');
  equal(t.counters().orders?.acknowledged, 1);
  equal(t.deadLetters('orders').length, 0);
  await t.stop();
});
`;
const equalOfJest = 'const equal = (value, expected) => expect(value).toBe(expected);\n';
const faking = `beforeEach(() => { jest.useFakeTimers(); });\nafterEach(() => { jest.useRealTimers(); });\n`;
const serviceOfPage = recipe('CommonJS').files['billing.cjs'] as string;

/** The same service as a module. */
function asModule(commonjsText: string): string {
  return commonjsText
    .replaceAll(/const (.*) = require\((.*)\);/g, 'import $1 from $2;')
    .replace('module.exports = {', 'export {');
}

/** Runs Jest in a project, and resolves with its numbers. */
async function jestIn(
  stranged: Stranger,
  node: string,
  ...parameters: readonly string[]
): Promise<{ readonly passed: number; readonly failed: number }> {
  const output = await stranged.run(node, ...parameters, '--json', '--rootDir', stranged.path);
  const { numPassedTests, numFailedTests } = JSON.parse(output.slice(output.indexOf('{')));
  return { passed: numPassedTests, failed: numFailedTests };
}

/** The parameters after `node` of a recipe’s command, in a folder of the project. */
function parametersOf([program, ...parameters]: readonly string[] = []): readonly string[] {
  expect(program).toBe('node');
  return parameters.map((parameter) => parameter.replace('node_modules/', '../node_modules/'));
}

describe('CommonJS', () => {
  it.each(nodeMajors)(
    'requires the packages on Node %s, without a flag and without a warning',
    async (major) => {
      const required = await project.nested(`required-${major}`, {
        ...commonjs,
        ...recipe('CommonJS').files,
      });
      await required.write(
        'main.cjs',
        `process.on('warning', (warning) => console.log(warning.name));
       const { billing, OrderPlaced } = require('./billing.cjs');
       billing.test().then(async (t) => {
         await t.deliver('orders', new OrderPlaced({ id: '1' }));
         await t.advance('1h');
         await t.stop();
       });`,
      );
      expect(await required.run(await nodeOfMajor(major), 'main.cjs')).toBe('billed 1\n');
    },
  );

  const compiler = '../node_modules/typescript/bin/tsc';
  const newest = join(repository, 'node_modules/typescript/bin/tsc');
  const six = join(repository, 'node_modules/typescript-api/bin/tsc');
  const typed = {
    ...commonjs,
    'main.ts': `${asModule(serviceOfPage)}
      import type { FlowControl } from '@melange/service/flow-control';
      import { isReservedHeader } from '@melange/core/adapter';
      const none: FlowControl | undefined = undefined;
      // @ts-expect-error the types are there
      export const never = () => billing.on('order', OrderPlaced, () => none);
      billing.test().then(async (t) => {
        await t.deliver('orders', new OrderPlaced({ id: String(isReservedHeader('mine')) }));
        await t.advance('1h');
        await t.stop();
      });`,
  };

  it.each([
    ['TypeScript 5.9, nodenext', 'tsconfig.json', compiler, []],
    ['TypeScript 7, nodenext', 'tsconfig.json', newest, []],
    ['TypeScript 5.9, node10', 'tsconfig.node10.json', compiler, []],
    ['TypeScript 6, node10', 'tsconfig.node10.json', six, ['--ignoreDeprecations', '6.0']],
  ] as const)('compiled by %s requires the packages, too', async (name, settings, tsc, more) => {
    const { files } = recipe('TypeScript that compiles to CommonJS');
    const compiled = await project.nested(name.replaceAll(/\W+/g, '-'), { ...typed, ...files });
    const parameters = [tsc, '-p', settings, '--types', 'node', '--lib', 'es2023,esnext.disposable', ...more];
    expect(await compiled.run(process.execPath, ...parameters)).toBe('');
    expect(await readFile(join(compiled.path, 'main.js'), 'utf8')).toContain('require("@melange/service")');
    for (const major of nodeMajors)
      expect(await compiled.run(await nodeOfMajor(major), 'main.js'), major).toBe('billed false\n');
  });

  it('TypeScript 6 and 7 say what the page says of node10', async () => {
    const { files } = recipe('TypeScript that compiles to CommonJS');
    const refused = await project.nested('node10-refused', { ...typed, ...files });
    const parameters = ['-p', 'tsconfig.node10.json', '--noEmit', '--types', 'node'];
    await expect(refused.run(process.execPath, six, ...parameters)).rejects.toThrow(/ignoreDeprecations/);
    await expect(refused.run(process.execPath, newest, ...parameters)).rejects.toThrow(/removed/);
  });
});

describe('Jest', () => {
  const required = `const { billing, OrderPlaced } = require('./billing.cjs');\n${equalOfJest}`;
  const javascript = {
    ...commonjs,
    'billing.cjs': serviceOfPage,
    'billing.test.js': `${required}${body}`,
    'faked.test.js': `${required}${faking}${body}`,
  };
  const typescript = {
    'billing.ts': asModule(serviceOfPage),
    'billing.test.ts': `import { billing, OrderPlaced } from './billing.js';\n${equalOfJest.replace('(value, expected)', '(value: unknown, expected: unknown)')}${body}`,
    'tsconfig.json': JSON.stringify({
      compilerOptions: {
        module: 'nodenext',
        target: 'es2022',
        isolatedModules: true,
        strict: true,
        types: ['jest', 'node'],
      },
    }),
  };
  const heading = 'Jest, with ES modules';

  it.each(nodeMajors)('runs tests that are modules, on Node %s', async (major) => {
    const esm = await project.nested(`jest-esm-${major}`, {
      ...modules,
      'billing.js': asModule(serviceOfPage),
      'billing.test.js': `import { billing, OrderPlaced } from './billing.js';\n${equalOfJest}${body}`,
    });
    const command = parametersOf(recipe(heading).commands[0]);
    expect(await jestIn(esm, await nodeOfMajor(major), ...command)).toEqual({ passed: 1, failed: 0 });
  });

  it('runs tests that end in .mjs in a package in CommonJS', async () => {
    const esm = await project.nested('jest-mjs', {
      ...commonjs,
      'billing.mjs': asModule(serviceOfPage),
      'billing.test.mjs': `import { billing, OrderPlaced } from './billing.mjs';\n${equalOfJest}${body}`,
    });
    const parameters = [...parametersOf(recipe(heading).commands[0]), '--testMatch', '**/*.test.mjs'];
    expect(await jestIn(esm, process.execPath, ...parameters)).toEqual({ passed: 1, failed: 0 });
  });

  it('runs modules in TypeScript by ts-jest', async () => {
    const { files, commands } = recipe(heading);
    const esm = await project.nested('jest-ts-esm', {
      ...modules,
      ...typescript,
      // What Jest finds of a module is named with its extension.
      ...files,
    });
    const parameters = [...parametersOf(commands[0]), '--moduleNameMapper', '{"^(\\\\./.*)\\\\.js$":"$1"}'];
    expect(await jestIn(esm, process.execPath, ...parameters)).toEqual({ passed: 1, failed: 0 });
  });

  it('requires the packages on Node 24.9 and later, with its flag and nothing else', async () => {
    const { commands } = recipe('Jest, with CommonJS on Node 24.9 or later');
    const plain = await project.nested('jest-24', javascript);
    const parameters = parametersOf(commands[0]);
    expect(await jestIn(plain, await nodeOfMajor('24'), ...parameters)).toEqual({ passed: 2, failed: 0 });
  });

  it('runs CommonJS by Babel, also while timers are faked', async () => {
    const { files } = recipe('Jest, with CommonJS by Babel');
    const babel = await project.nested('jest-babel', { ...javascript, ...files });
    expect(await jestIn(babel, process.execPath, jest)).toEqual({ passed: 2, failed: 0 });
  });

  it('runs CommonJS in TypeScript by ts-jest, and the packages by swc', async () => {
    const { files } = recipe('Jest, with CommonJS by ts-jest');
    const compiled = await project.nested('jest-ts', { ...commonjs, ...typescript, ...files });
    expect(
      await jestIn(compiled, process.execPath, jest, '--moduleNameMapper', '{"^(\\\\./.*)\\\\.js$":"$1"}'),
    ).toEqual({
      passed: 1,
      failed: 0,
    });
  });

  it.each(['Jest, with CommonJS by Babel', 'Jest, with CommonJS by ts-jest'])(
    '"%s" transforms these packages alone, as npm and as pnpm lay them out',
    async (name) => {
      const [, pattern = ''] =
        /transformIgnorePatterns: \['(.*)'\]/.exec(page.split(`### ${name}\n`)[1] ?? '') ?? [];
      const isIgnored = (path: string): boolean => new RegExp(pattern.replaceAll('\\\\', '\\')).test(path);
      const service = 'node_modules/@melange/service/dist/index.js';
      expect([service, `node_modules/.pnpm/@melange+service@1.0.0_zod@4/${service}`].map(isIgnored)).toEqual([
        false,
        false,
      ]);
      const other = 'node_modules/amqplib/index.js';
      expect([other, `node_modules/.pnpm/amqplib@1.0.0/${other}`].map(isIgnored)).toEqual([true, true]);
    },
  );
});

describe('node:test', () => {
  const test = `import { mock, test } from 'node:test';\nimport { equal } from 'node:assert/strict';\n`;
  const files = {
    ...modules,
    'billing.js': asModule(serviceOfPage),
    'billing.test.js': `${test}import { billing, OrderPlaced } from './billing.js';${body}
      mock.timers.enable();${body}`,
    'billing.test.ts': `${test}import { billing, OrderPlaced } from './billing.js';${body}`,
  };
  const numbers = (output: string): readonly (string | undefined)[] =>
    [/^# pass (\d+)$/m, /^# fail (\d+)$/m].map((pattern) => pattern.exec(output)?.[1]);

  it.each(nodeMajors)('needs nothing, also while timers are mocked, on Node %s', async (major) => {
    const plain = await project.nested(`node-test-${major}`, files);
    const parameters = ['--test', '--test-reporter', 'tap', 'billing.test.js'];
    expect(numbers(await plain.run(await nodeOfMajor(major), ...parameters))).toEqual(['2', '0']);
  });

  it.each([
    ['20', parametersOf(recipe('node:test').commands[0])],
    ['22', ['--test', 'billing.test.ts']],
  ] as const)('runs TypeScript on Node %s', async (major, parameters) => {
    const typed = await project.nested(`node-test-ts-${major}`, files);
    const output = await typed.run(await nodeOfMajor(major), '--test-reporter', 'tap', ...parameters);
    expect(numbers(output)).toEqual(['1', '0']);
  });
});
