import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { run } from './processes.ts';

/**
 * Folder into which npm has installed the packages, made once for all runs of this user. The name says what is in
 * it, versions included: a folder that is there is taken as it is.
 */
export async function cachedInstallation(name: string, packages: readonly string[]): Promise<string> {
  const cache = join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'melange-brokers');
  const home = join(cache, name);
  if (existsSync(home)) return home;
  await mkdir(cache, { recursive: true });
  // Beside its place, then moved there: a run that is cut short, or two at once, must not leave half of it.
  const unfinished = await mkdtemp(`${home}-`);
  try {
    await run('npm', ['install', '--prefix', unfinished, '--no-audit', '--no-fund', ...packages]);
    await rename(unfinished, home).catch((error: unknown) => {
      if (!existsSync(home)) throw error;
    });
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
  return home;
}
