import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Handle } from './broker.ts';
import { cachedInstallation } from './cache.ts';
import { isRunning, startDetached, until } from './processes.ts';

/** The version that is started. */
export const fauxqsVersion = '2.4.1';
/** fauxqs needs a Node that has SQLite. */
const nodeVersion = '24';
const server = fileURLToPath(new URL('fauxqs-server.ts', import.meta.url));
/** A write to a slow disk holds up even SIGKILL. */
const goneWithinMs = 60_000;

/** What is needed to stop an emulator, and to start it again with the same data. */
export interface EmulatorHandle extends Handle {
  readonly pid: string;
  readonly port: string;
  readonly directory: string;
}

/** Starts fauxqs on a port of this machine, with data of its own; resolves before it answers. */
export async function startEmulator(port: number): Promise<EmulatorHandle> {
  const directory = await mkdtemp(join(tmpdir(), 'melange-sqs-'));
  try {
    return { pid: await spawnEmulator(port, directory), port: String(port), directory };
  } catch (error) {
    await rm(directory, { recursive: true, force: true });
    throw error;
  }
}

/** Kills the emulator and starts it again: queues, topics and messages stay. Resolves before it answers. */
export async function respawnEmulator(handle: EmulatorHandle): Promise<EmulatorHandle> {
  await kill(handle);
  return { ...handle, pid: await spawnEmulator(Number(handle.port), handle.directory) };
}

/** Whether the emulator's process runs. */
export function isEmulatorThere(handle: Handle): Promise<boolean> {
  return isRunning(Number(handle.pid), handle.directory ?? server);
}

/** Ends an emulator and deletes its data; resolves also if it has ended before. */
export async function stopEmulator(handle: Handle): Promise<void> {
  await kill(handle);
  if (handle.directory !== undefined) await rm(handle.directory, { recursive: true, force: true });
}

async function kill(handle: Handle): Promise<void> {
  if (!(await isEmulatorThere(handle))) return;
  process.kill(Number(handle.pid), 'SIGKILL');
  await until(async () => !(await isEmulatorThere(handle)), goneWithinMs, 'the end of fauxqs');
}

async function spawnEmulator(port: number, directory: string): Promise<string> {
  const home = await cachedInstallation(`fauxqs-${fauxqsVersion}-node-${nodeVersion}`, [
    `fauxqs@${fauxqsVersion}`,
    `node@${nodeVersion}`,
  ]);
  const parameters = [server, join(home, 'node_modules/fauxqs/dist'), String(port), directory];
  return String(await startDetached(join(home, 'node_modules/node/bin/node'), parameters));
}
