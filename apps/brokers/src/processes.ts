import { execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';

/** How to run a program. */
export interface RunOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  readonly timeout?: number;
}

/** Runs a program to its end; rejects if its exit status is not 0. */
export const run: (
  command: string,
  parameters: readonly string[],
  options?: RunOptions,
) => Promise<{ stdout: string; stderr: string }> = promisify(execFile) as never;

/** One line that says why something failed: the last one that the program wrote, if it was a program. */
export function reasonOf(error: unknown): string {
  const stderr = (error as { stderr?: unknown }).stderr;
  const written = typeof stderr === 'string' ? stderr.trim().split('\n').at(-1) : undefined;
  if (written !== undefined && written !== '') return written;
  return (error instanceof Error ? error.message : String(error)).split('\n')[0] as string;
}

/** Whether the program is there. */
export async function isInstalled(command: string): Promise<boolean> {
  return run('which', [command]).then(
    () => true,
    () => false,
  );
}

/** Installs a package of Debian's, as root. */
export async function install(packageName: string): Promise<void> {
  if (process.getuid?.() !== 0 || !(await isInstalled('apt-get'))) {
    throw new Error(`${packageName} is not installed, and only root on Debian can install it from here`);
  }
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  await run('apt-get', ['update', '-qq'], { env });
  // A new machine may be installing its updates.
  const patience = ['-o', 'DPkg::Lock::Timeout=300'];
  const quietly = ['-y', '-qq', '--no-install-recommends'];
  await run('apt-get', [...patience, 'install', ...quietly, packageName], { env });
}

/** A process that outlives this one, writing nowhere. Resolves with its id. */
export function startDetached(command: string, parameters: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, parameters, { detached: true, stdio: 'ignore' });
    child.once('error', reject);
    child.once('spawn', () => {
      child.unref();
      resolve(child.pid as number);
    });
  });
}

/** Whether there is a process of that id. */
export function isAlive(pid: number): boolean {
  // 0 and what is below stand for groups of processes.
  if (!(pid > 0)) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // A process of another user is there all the same.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Whether the process runs, and its command line still contains that text: ids are used again. */
export async function isRunning(pid: number, commandLinePart: string): Promise<boolean> {
  if (!isAlive(pid)) return false;
  if (existsSync('/proc/self/cmdline')) {
    const commandLine = await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '');
    if (commandLine !== '') return commandLine.includes(commandLinePart);
    // Empty for a process that has ended and waits for its parent to notice, and for one that becomes another program.
    const status = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '');
    return !hasEnded(status);
  }
  return run('ps', ['-p', String(pid), '-o', 'args=']).then(
    ({ stdout }) => stdout.includes(commandLinePart),
    () => false,
  );
}

/**
 * Whether a process holds nothing any more. Its first thread may have ended while others still have its ports and files:
 * a killed server that is started again too soon finds its own port in use.
 *
 * @param status text of `/proc/<pid>/stat`, empty where there is no such process.
 */
export function hasEnded(status: string): boolean {
  // The program's name, in parentheses, may contain anything; state and number of threads are fields 3 and 20.
  const fields = status.slice(status.lastIndexOf(') ') + 2).split(' ');
  return fields[0] === '' || fields[0] === 'X' || (fields[0] === 'Z' && Number(fields[17]) <= 1);
}

/** Below what systems give to connections as their own port: such a one could be taken before it is listened on. */
const ownPorts = { first: 20_000, count: 12_000 } as const;

/** Given by this process, which may not listen on all of them yet. */
const given = new Set<number>();

/** The preferred port if nobody listens on it, else one that nobody listens on now. */
export async function freePort(preferred?: number): Promise<number> {
  if (preferred !== undefined && (await isFree(preferred))) return preferred;
  const port = ownPorts.first + Math.floor(Math.random() * ownPorts.count);
  if (given.has(port) || !(await isFree(port))) return freePort();
  given.add(port);
  return port;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

/** Asks again and again until the answer is yes; rejects after the deadline. */
export async function until(
  ask: () => Promise<boolean>,
  deadlineMs: number,
  what: string,
  everyMs = 200,
): Promise<void> {
  const deadline = Date.now() + deadlineMs;
  while (!(await ask())) {
    if (Date.now() > deadline) throw new Error(`${what} did not happen within ${deadlineMs / 1000} s`);
    await delay(everyMs);
  }
}

/** Repeats an action until it succeeds; past the deadline, rejects with its last error. */
export async function tryAgain(act: () => Promise<void>, deadlineMs: number, everyMs = 200): Promise<void> {
  const deadline = Date.now() + deadlineMs;
  for (;;) {
    try {
      return await act();
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
    await delay(everyMs);
  }
}
