import { fileURLToPath } from 'node:url';
import type { Broker, Handle, StartedBroker } from './broker.ts';
import { isInstalled, run, until } from './processes.ts';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const engineAnswersWithinMs = 15_000;
/** Long, since the first time it fetches an image. */
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

/** Starts the broker's service of `compose.yaml`. Resolves when it answers. */
export async function startByCompose(broker: Broker): Promise<StartedBroker> {
  const handle = { compose: broker.service };
  try {
    await run('docker', ['compose', 'up', '-d', broker.service], { cwd: root });
    await until(() => broker.answers(broker.standardUrl), readyWithinMs, `an answer of ${broker.name}`);
  } catch (error) {
    await stopByCompose(handle).catch(() => undefined);
    throw error;
  }
  return { url: broker.standardUrl, handle };
}

/** Stops and removes what `startByCompose` started. */
export async function stopByCompose({ compose }: Handle): Promise<void> {
  await run('docker', ['compose', 'rm', '-s', '-f', compose as string], { cwd: root });
}

/** Whether the service's container runs. */
export async function isThereByCompose({ compose }: Handle): Promise<boolean> {
  return run('docker', ['compose', 'ps', '-q', '--status', 'running', compose as string], { cwd: root }).then(
    ({ stdout }) => stdout.trim() !== '',
    () => false,
  );
}
