import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

test('a loop that waits for messages keeps its process alive, and one that has ended does not', async () => {
  const program = fileURLToPath(new URL('support/idle-loop.ts', import.meta.url));
  const { stdout, stderr } = await promisify(execFile)(process.execPath, ['--import', 'tsx', program]);
  expect([stdout, stderr]).toEqual(['stopped\n', '']);
});
