import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { run } from './processes.ts';

/**
 * Folder that is filled once for all runs of this user. The name says what is in it, versions included: a folder that
 * is there is taken as it is.
 */
export async function cached(name: string, fill: (folder: string) => Promise<void>): Promise<string> {
  const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'melange-brokers');
  const folder = join(cache, name);
  if (existsSync(folder)) return folder;
  await mkdir(cache, { recursive: true });
  // Beside its place, then moved there: a run that is cut short, or two at once, must not leave half of it.
  const unfinished = await mkdtemp(`${folder}-`);
  try {
    await fill(unfinished);
    await rename(unfinished, folder).catch((error: unknown) => {
      if (!existsSync(folder)) throw error;
    });
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
  return folder;
}

/** Folder into which npm has installed the packages. */
export function cachedInstallation(name: string, packages: readonly string[]): Promise<string> {
  return cached(name, async (folder) => {
    await run('npm', ['install', '--prefix', folder, '--no-audit', '--no-fund', ...packages]);
  });
}
