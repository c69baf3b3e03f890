import { fileURLToPath } from 'node:url';
import type { Broker, Handle, StartedBroker } from './broker.ts';
import { isInstalled, run } from './processes.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const engineAnswersWithinMs = 15_000;
const readyWithinMs = 120_000;

/** Whether a Docker engine answers: the client alone starts nothing. */
export async function hasDockerEngine(): Promise<boolean> {
  if (!(await isInstalled('docker'))) return false;
  // Some clients exit with 0 although no engine answered: only the server's part of the answer tells.
  return run('docker', ['info'], { timeout: engineAnswersWithinMs }).then(
    ({ stdout }) => stdout.includes('Server Version'),
    () => false,
  );
}

/** The broker as the service of `compose.yaml`, in place of its package. */
export function byCompose(broker: Broker): Broker {
  return { ...broker, readyWithinMs, start: () => start(broker), isThere, stop };
}

/** Whether the handle is that of a service of `compose.yaml`. */
export function isOfCompose(handle: Handle): boolean {
  return handle.compose !== undefined;
}

async function start({ service, standardUrl }: Broker): Promise<StartedBroker> {
  const handle = { compose: service };
  try {
    await run('docker', ['compose', 'up', '-d', service], { cwd: root });
  } catch (error) {
    await stop(handle).catch(() => undefined);
    throw error;
  }
  return { url: standardUrl, handle };
}

async function stop({ compose }: Handle): Promise<void> {
  await run('docker', ['compose', 'rm', '-s', '-f', compose as string], { cwd: root });
}

async function isThere({ compose }: Handle): Promise<boolean> {
  return run('docker', ['compose', 'ps', '-q', '--status', 'running', compose as string], { cwd: root }).then(
    ({ stdout }) => stdout.trim() !== '',
    () => false,
  );
}
