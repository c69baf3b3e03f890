import { execFile } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../../..', import.meta.url));

test('the example of the README compiles and runs', { timeout: 60_000 }, async () => {
  const readme = await readFile(`${root}README.md`, 'utf8');
  const example = /```ts\n([\s\S]*?)```/.exec(readme)?.[1] ?? '';
  // In the root, where an application's own files see the packages.
  const file = `${root}readme-example-${process.pid}.mts`;
  await writeFile(file, example);
  onTestFinished(() => rm(file));
  const options = ['--ignoreConfig', '--noEmit', '--strict', '--target', 'es2022', '--module', 'nodenext'];
  await run(
    'npx',
    ['tsc', ...options, '--types', 'node', '--skipLibCheck', '--allowImportingTsExtensions', file],
    {
      cwd: root,
    },
  );
  const { stdout } = await run('npx', ['tsx', file], { cwd: root });
  expect(stdout).toBe('billed 4711\n');
});
