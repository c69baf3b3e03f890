import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('../../../', import.meta.url));

it('a service is tested under node:test as well', async () => {
  const file = fileURLToPath(new URL('./programs/node-test.ts', import.meta.url));
  const parameters = ['--import', 'tsx', '--test', '--test-reporter', 'tap', file];
  // Else Node takes itself for the child of another run of tests, and reports to that.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const { stdout } = await promisify(execFile)(process.execPath, parameters, { cwd: root, env });
  expect(stdout).toMatch(/^# pass 1$/m);
  expect(stdout).toMatch(/^# fail 0$/m);
});
