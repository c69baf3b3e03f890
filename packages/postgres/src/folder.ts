import { mkdir, realpath } from 'node:fs/promises';
import { MelangeError } from '@melange/core';
import { lockFolder } from './folder-lock.ts';
import type { EmbeddedPostgres } from './libraries.ts';

interface OpenFolder {
  readonly pglite: EmbeddedPostgres;
  unlock(): Promise<void>;
}

interface SharedFolder {
  users: number;
  readonly opening: Promise<OpenFolder>;
}

/** A PGlite takes its folder for itself, also inside of one process: what this process opens in one place is one PGlite. */
const folders = new Map<string, SharedFolder>();
/** Folders that are being closed: to be opened again after that. */
const closing = new Map<string, Promise<void>>();

/** The PGlite of the folder, for one user more. It is closed when its last user has released it. */
export async function useFolder(
  directory: string,
): Promise<{ readonly pglite: EmbeddedPostgres; release(): Promise<void> }> {
  await mkdir(directory, { recursive: true });
  const folder = await realpath(directory);
  await closing.get(folder);
  let shared = folders.get(folder);
  if (shared === undefined) {
    shared = { users: 0, opening: open(folder) };
    folders.set(folder, shared);
  }
  const mine = shared;
  mine.users += 1;
  try {
    const { pglite } = await mine.opening;
    return { pglite, release: () => release(folder, mine) };
  } catch (error) {
    if (folders.get(folder) === mine) folders.delete(folder);
    throw error;
  }
}

async function release(folder: string, shared: SharedFolder): Promise<void> {
  shared.users -= 1;
  if (shared.users > 0 || folders.get(folder) !== shared) return;
  folders.delete(folder);
  const closed = shared.opening.then(async ({ pglite, unlock }) => {
    try {
      await pglite.close();
    } finally {
      await unlock();
    }
  });
  closing.set(
    folder,
    closed.catch(() => undefined),
  );
  try {
    await closed;
  } finally {
    closing.delete(folder);
  }
}

async function open(folder: string): Promise<OpenFolder> {
  const { PGlite } = await load();
  const unlock = await lockFolder(folder);
  try {
    return { pglite: await PGlite.create(folder), unlock };
  } catch (error) {
    await unlock();
    throw new MelangeError(
      'CONFIGURATION',
      `PGlite cannot open the folder ${folder}: it must be empty, or hold the data of a PGlite.`,
      { cause: error },
    );
  }
}

async function load(): Promise<typeof import('@electric-sql/pglite')> {
  try {
    return await import('@electric-sql/pglite');
  } catch (error) {
    throw new MelangeError(
      'CONFIGURATION',
      'The option directory needs the package @electric-sql/pglite: install it beside this one.',
      { cause: error },
    );
  }
}
