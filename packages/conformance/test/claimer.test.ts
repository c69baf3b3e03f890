import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { ClaimProcess } from '../src/cache/claim-process.ts';

function start() {
  const program = fileURLToPath(new URL('support/claimer.ts', import.meta.url));
  const child = fork(program, { execArgv: ['--import', 'tsx'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

test('the process of a claimer ends with its suite, though connections would keep it alive', async () => {
  const child = start();
  const claimer = await ClaimProcess.open(child, { ttlMs: 1_000, clockSkewMs: 0 });
  expect(await claimer.claim('key', 60_000)).toMatchObject({ status: 'claimed' });
  const exited = once(child, 'exit');
  child.disconnect();
  expect(await exited).toEqual([0, null]);
});

test('a question to a process that has ended is refused, not waited for', async () => {
  const child = start();
  const claimer = await ClaimProcess.open(child, { ttlMs: 1_000, clockSkewMs: 0 });
  await claimer.kill();
  await expect(claimer.claim('key', 60_000)).rejects.toThrow();
});
