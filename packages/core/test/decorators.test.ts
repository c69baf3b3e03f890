import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { expect, test } from 'vitest';
import { takenByEach } from './support/decorated.ts';

const support = (file: string): string => fileURLToPath(new URL(`support/${file}`, import.meta.url));
const tsc = fileURLToPath(new URL('../../../node_modules/typescript/bin/tsc', import.meta.url));
const expected = [['Tom'], ['Tom', '1 of m-1'], []];

test('@consumer is a standard decorator', async () => {
  expect(await takenByEach()).toEqual(expected);
});

test('@consumer is a decorator of experimentalDecorators as well, as every project of NestJS has them', async () => {
  const { outputFiles } = await build({
    entryPoints: [support('decorated.ts')],
    tsconfig: support('tsconfig.legacy-decorators.json'),
    bundle: true,
    format: 'esm',
    platform: 'node',
    write: false,
  });
  const code = outputFiles[0]?.text ?? '';
  expect(code).toContain('__decorateClass');
  const compiled = (await import(`data:text/javascript,${encodeURIComponent(code)}`)) as {
    takenByEach: typeof takenByEach;
  };
  expect(await compiled.takenByEach()).toEqual(expected);
});

test('it compiles under experimentalDecorators', async () => {
  const project = ['-p', support('tsconfig.legacy-decorators.json')];
  const { stdout } = await promisify(execFile)(process.execPath, [tsc, ...project]);
  expect(stdout).toBe('');
});
