import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Handle } from './broker.ts';
import { ownFile } from './own-file.ts';
import { isAlive } from './processes.ts';

/** Says what a process has started for itself alone, for others to stop should it be killed before it does. */
export interface PrivateRecord {
  keep(handle: Handle): Promise<void>;
  remove(): Promise<void>;
}

/** A broker that nobody stops any more. */
export interface Orphan {
  readonly name: string;
  readonly handle: Handle;
  forget(): Promise<void>;
}

const prefix = ownFile('private.');
let count = 0;

/** @param name of the broker, as in the table of brokers. */
export function privateRecord(name: string): PrivateRecord {
  count += 1;
  const file = `${prefix}${process.pid}.${count}`;
  return {
    keep: (handle) => writeFile(file, JSON.stringify({ name, handle })),
    remove: () => rm(file, { force: true }),
  };
}

/** What processes had started for themselves that have ended since. */
export async function orphans(): Promise<Orphan[]> {
  const found: Orphan[] = [];
  for (const entry of await readdir(dirname(prefix))) {
    const [pid] = entry.startsWith(basename(prefix)) ? entry.slice(basename(prefix).length).split('.') : [];
    if (pid === undefined || isAlive(Number(pid))) continue;
    const file = join(dirname(prefix), entry);
    const forget = (): Promise<void> => rm(file, { force: true });
    try {
      const { name, handle } = JSON.parse(await readFile(file, 'utf8')) as Pick<Orphan, 'name' | 'handle'>;
      found.push({ name, handle, forget });
    } catch {
      // Killed while it wrote: nobody knows what it had started.
      await forget();
    }
  }
  return found;
}
