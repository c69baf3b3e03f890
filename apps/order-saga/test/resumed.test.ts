import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { figures, main, orderSaga } from './support/run.ts';

async function ownFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'melange-saga-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Starts the program, kills it when so many orders have ended, and resolves with its output. */
async function killedAt(ended: RegExp, parameters: readonly string[]): Promise<string> {
  const env = { ...process.env, POSTGRES_URL: '' };
  const child = spawn(process.execPath, ['--import', 'tsx', main, ...parameters], { env });
  onTestFinished(() => void child.kill('SIGKILL'));
  let stdout = '';
  child.stdout.on('data', (data: Buffer) => {
    stdout += data.toString();
    if (ended.test(stdout)) child.kill('SIGKILL');
  });
  const [status, signal] = (await once(child, 'exit')) as [number | null, string | null];
  expect({ status, signal, stdout }).toMatchObject({ signal: 'SIGKILL' });
  return stdout;
}

test('killed twice on a Postgres in a folder, and resumed: every order is accounted for, none is paid twice', {
  timeout: 180_000,
}, async () => {
  const folder = await ownFolder();
  const parameters = [
    '--backend',
    'postgres',
    '--folder',
    folder,
    '--orders',
    '300',
    '--failure-rate',
    '0.2',
  ];
  const first = await killedAt(/\d+ of 300 orders ended/, parameters);
  expect(first).toContain(`no POSTGRES_URL is set: Postgres in this process, its data in ${folder}`);
  await killedAt(/(6|7|8|9)\d|[12]\d\d of 300 orders ended/, [...parameters, '--resume']);
  const last = await orderSaga([...parameters, '--resume'], { POSTGRES_URL: '' });
  expect({ status: last.status, stderr: last.stderr }).toMatchObject({ status: 0 });
  expect(figures(last.stdout)).toMatchObject({
    'orders placed': 300,
    completed: 297,
    'dead-lettered': 3,
    lost: 0,
    'unaccounted for': 0,
    'paid twice': 0,
  });
});

test('nothing to resume is one line', { timeout: 60_000 }, async () => {
  const folder = await ownFolder();
  const flags = ['--backend', 'postgres', '--folder', folder, '--resume'];
  const { status, stderr } = await orderSaga(flags, { POSTGRES_URL: '' });
  expect({ status, stderr }).toEqual({
    status: 2,
    stderr: `order-saga: --resume finds no run in ${folder}: start one without it\n`,
  });
});
