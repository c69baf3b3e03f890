import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { repository } from '../packaging/packages.ts';

let work: string;
beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'melange-interop-test-'));
});
afterAll(() => rm(work, { recursive: true, force: true }));

/** `pnpm interop` where nothing answers in the place of PyPI, and nothing was installed before. */
function interop(...flags: string[]): Promise<{ status: number; output: string }> {
  const tsx = join(repository, 'node_modules/.bin/tsx');
  const script = join(repository, 'scripts/python-melange/interop.ts');
  const nowhere = 'http://127.0.0.1:9/';
  const env = { ...process.env, TMPDIR: work, PIP_INDEX_URL: nowhere, PIP_EXTRA_INDEX_URL: nowhere };
  return new Promise((resolve) => {
    execFile(tsx, [script, ...flags], { env, cwd: work }, (error, stdout, stderr) => {
      const status = error === null ? 0 : Number(error.code);
      resolve({ status, output: stdout + stderr });
    });
  });
}

describe('interop where PyPI cannot be reached', () => {
  test.each([
    [[], 0],
    [['--require'], 1],
  ] as const)(
    'says so with %j, and its status is %i',
    async (flags, expected) => {
      const { status, output } = await interop(...flags);
      expect(output).toContain(
        'NOT checked against the Python library: it cannot be installed from PyPI here',
      );
      expect(output).toContain('what ours publishes for the Python library: as the fixtures');
      expect(status).toBe(expected);
    },
    60_000,
  );
});
