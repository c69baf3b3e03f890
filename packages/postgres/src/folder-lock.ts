import { createHash } from 'node:crypto';
import { mkdir, rm, rmdir, stat } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { MelangeError } from '@melange/core';

/** Longest path of a socket that every system takes, in bytes. */
const maxPathBytes = 100;
/** A process that replaces the socket of one that was killed takes much less. */
const replacedWithinMs = 10_000;

/**
 * Takes a folder for this process: PGlite itself does not, and two processes that write one folder destroy it. The lock is a socket
 * that a process listens on, so that the system itself releases it, however the process ends.
 *
 * @returns releases it.
 * @throws MelangeError `CONFIGURATION` when another process has it.
 */
export async function lockFolder(folder: string): Promise<() => Promise<void>> {
  const path = socketOf(folder);
  for (;;) {
    const server = await listen(path);
    if (server !== undefined) return () => new Promise((resolve) => server.close(() => resolve()));
    if (await answers(path))
      throw new MelangeError(
        'CONFIGURATION',
        `Another process has opened the PGlite folder ${folder}: one at a time can. Stop it, or use a Postgres server for several processes.`,
      );
    await removeAbandoned(path);
  }
}

function socketOf(folder: string): string {
  const beside = `${folder}.lock`;
  const hash = createHash('sha256').update(folder).digest('hex').slice(0, 32);
  if (process.platform === 'win32') return `\\\\.\\pipe\\melange-${hash}`;
  return Buffer.byteLength(beside) <= maxPathBytes ? beside : join(tmpdir(), `melange-${hash}.lock`);
}

function listen(path: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? resolve(undefined) : reject(error),
    );
    server.listen(path, () => {
      server.unref();
      resolve(server);
    });
  });
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/** One process at a time, and it asks once more: else the second one would remove the new socket of the first. */
async function removeAbandoned(path: string): Promise<void> {
  const turn = `${path}.turn`;
  try {
    await mkdir(turn);
  } catch {
    const { mtimeMs } = await stat(turn).catch(() => ({ mtimeMs: Date.now() }));
    if (Date.now() - mtimeMs > replacedWithinMs) await rmdir(turn).catch(() => undefined);
    await wait(10);
    return;
  }
  try {
    if (!(await answers(path))) await rm(path, { force: true });
  } finally {
    await rmdir(turn).catch(() => undefined);
  }
}
