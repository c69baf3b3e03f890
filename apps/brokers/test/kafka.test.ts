import { mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { freePort, run } from '../src/processes.ts';
import { command, temporaryFolder } from './support.ts';

const folder = await temporaryFolder();
afterAll(() => folder.remove());

test('where it cannot be had, that is said in a line, with the reason and what to do', async () => {
  // No Java, no Maven, and nothing to install them with.
  const programs = join(folder.path, 'programs');
  await mkdir(programs);
  await symlink((await run('which', ['which'])).stdout.trim(), join(programs, 'which'));
  const env = { PATH: programs, MELANGE_KAFKA_PORT: String(await freePort()) };
  const outcome = await command(['up', 'kafka'], { folder: folder.path, env });
  expect(outcome).toMatchObject({ status: 1, errors: [] });
  expect(outcome.lines.at(-1)).toMatch(
    /^kafka: missing, package: default-jre-headless is not installed.*What to do: set KAFKA_URL to a running one/,
  );
});
