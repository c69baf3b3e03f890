import { join } from 'node:path';
import { cachedInstallation } from '../../apps/brokers/src/cache.ts';

/** Majors of Node that Melange supports: those that CI runs, and the packages are tried on. */
export const nodeMajors = ['20', '22', '24'] as const;

/** Path of a Node of that major: the one that runs this, or one that npm installs, once for all runs. */
export async function nodeOfMajor(major: string): Promise<string> {
  if (process.versions.node.startsWith(`${major}.`)) return process.execPath;
  const home = await cachedInstallation(`node-${major}`, [`node@${major}`]);
  return join(home, 'node_modules/node/bin/node');
}
