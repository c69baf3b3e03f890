import { link, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { ownFile } from './own-file.ts';
import { isAlive } from './processes.ts';

const lockFile = ownFile('lock');
const looksAgainAfterMs = 50;
/** Longer than it takes to start a broker that is installed: whoever waits longer wants to know for whom. */
const saysSoAfterMs = 5_000;

/**
 * Does this while no other process brings brokers up or stops them: a run that begins never finds the broker that
 * one that ends is about to stop. The lock of a process that has died counts no longer.
 *
 * @param log told for which process this one waits, where that takes long.
 */
export async function exclusively<Result>(
  act: () => Promise<Result>,
  log: (line: string) => void = () => undefined,
): Promise<Result> {
  await takeLock(log);
  try {
    return await act();
  } finally {
    await rm(lockFile, { force: true });
  }
}

async function takeLock(log: (line: string) => void): Promise<void> {
  // Linked into its place whole: a lock always names its owner.
  const own = `${lockFile}.${process.pid}`;
  await writeFile(own, String(process.pid));
  let saysSoAt = Date.now() + saysSoAfterMs;
  try {
    while (!(await linkOnce(own, lockFile))) {
      const owner = await ownerOf(lockFile);
      if (owner !== undefined && !isAlive(owner)) await takeAway(owner, `${own}.dead`);
      else await delay(looksAgainAfterMs);
      if (Date.now() < saysSoAt) continue;
      saysSoAt = Number.POSITIVE_INFINITY;
      log(
        `waiting for process ${owner}, which starts or stops brokers (if it is none of ours, delete ${lockFile})`,
      );
    }
  } finally {
    await rm(own, { force: true });
  }
}

/**
 * Removes the lock of a dead process. Of several that try, one gets hold of the file; it puts back what is by then the
 * lock of a living one.
 */
async function takeAway(dead: number, aside: string): Promise<void> {
  try {
    await rename(lockFile, aside);
  } catch {
    return;
  }
  if ((await ownerOf(aside)) !== dead) await linkOnce(aside, lockFile);
  await rm(aside, { force: true });
}

async function ownerOf(file: string): Promise<number | undefined> {
  const text = await readFile(file, 'utf8').catch(() => '');
  return text === '' ? undefined : Number(text);
}

async function linkOnce(file: string, place: string): Promise<boolean> {
  try {
    await link(file, place);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}
