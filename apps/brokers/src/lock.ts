import { link, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { isAlive } from './processes.ts';

const lockFile = join(tmpdir(), 'melange-brokers.lock');
const looksAgainAfterMs = 50;

/**
 * Does this while no other process brings brokers up or stops them: a run that begins never finds the broker that
 * one that ends is about to stop. The lock of a process that has died counts no longer.
 */
export async function exclusively<Result>(act: () => Promise<Result>): Promise<Result> {
  await takeLock();
  try {
    return await act();
  } finally {
    await rm(lockFile, { force: true });
  }
}

async function takeLock(): Promise<void> {
  // Linked into its place whole: a lock always names its owner.
  const own = `${lockFile}.${process.pid}`;
  await writeFile(own, String(process.pid));
  try {
    while (!(await linkOnce(own))) {
      const owner = await readFile(lockFile, 'utf8').catch(() => '');
      if (owner !== '' && !isAlive(Number(owner))) await rm(lockFile, { force: true });
      else await delay(looksAgainAfterMs);
    }
  } finally {
    await rm(own, { force: true });
  }
}

async function linkOnce(own: string): Promise<boolean> {
  try {
    await link(own, lockFile);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}
