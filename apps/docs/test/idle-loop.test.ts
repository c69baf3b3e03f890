import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { codeFiles } from '../src/code-files.ts';
import { readPages, root } from '../src/markdown-page.ts';

const page = (await readPages()).find(({ path }) => path === 'README.md');
const snippet = page === undefined ? '' : (codeFiles(page)[0]?.code ?? '');

test("the README's program with consumeLoop in memory stays when it is idle, and says nothing of a promise that never settles", {
  timeout: 60_000,
}, async () => {
  const code = snippet.replace("consumeEvent('orders')", "consumeLoop('orders')");
  expect(code).toContain("await dispatcher.consumeLoop('orders')");
  const folder = await mkdtemp(join(root, 'apps/docs/.markdown-idle-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, 'readme.ts'), code);
  const child = spawn(process.execPath, ['--import', 'tsx', join(folder, 'readme.ts')], { cwd: root });
  onTestFinished(() => void child.kill('SIGKILL'));
  let said = '';
  child.stdout.on('data', (data: Buffer) => {
    said += data.toString();
  });
  child.stderr.on('data', (data: Buffer) => {
    said += data.toString();
  });
  const ended = once(child, 'exit');
  while (!said.includes('billed')) await Promise.race([once(child.stdout, 'data'), ended]);
  // It has nothing to do from here on; without anything that holds it, it ends with its last turn.
  await Promise.race([ended, delay(1_000)]);
  expect([said, child.exitCode]).toEqual(['billed 4711\n', null]);
});
