import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { printTables, type Report } from '../src/report/table.ts';

/** Each starts a vitest of its own. */
const patient = { timeout: 120_000 };
const main = fileURLToPath(new URL('../src/report/main.ts', import.meta.url));

interface Ended {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `pnpm conformance` without brokers, and not as a part of this run of vitest. */
function conformance(...parameters: readonly string[]): Promise<Ended> {
  const { VITEST: _vitest, ...inherited } = process.env;
  const env = { ...inherited, MELANGE_BROKERS: 'none', MELANGE_REQUIRE_BROKERS: '' };
  for (const name of ['RABBITMQ_URL', 'SQS_URL', 'KAFKA_URL', 'REDIS_URL']) delete env[name as never];
  return new Promise((resolve) => {
    execFile(process.execPath, ['--import', 'tsx', main, ...parameters], { env }, (error, stdout, stderr) =>
      resolve({ status: error === null ? 0 : Number(error.code), stdout, stderr }),
    );
  });
}

test(
  '--json prints every behaviour as data, skips with their reasons, and nothing else',
  patient,
  async () => {
    const { status, stdout } = await conformance('--json', 'dedup-memory', 'serializer-json');
    const report = JSON.parse(stdout) as Report;
    expect(status).toBe(0);
    expect(report.others).toEqual([]);
    const subjects = new Set(report.entries.map(({ suite, subject }) => `${suite} ${subject}`));
    expect([...subjects].sort()).toEqual(['deduplication cache memory', 'serializer json']);
    expect(report.entries).toContainEqual({
      suite: 'deduplication cache',
      subject: 'memory',
      id: 'claim/one-winner',
      group: 'claim',
      title: expect.any(String),
      status: 'pass',
    });
    const skipped = report.entries.filter((entry) => entry.status === 'skip');
    expect(skipped.length).toBeGreaterThan(0);
    for (const { skipReason } of skipped) expect(skipReason).toMatch(/\w+ \w+/);
  },
);

test('the table has a row for each behaviour, and a note for each reason to skip', () => {
  const claim = { suite: 'deduplication cache', group: 'claim' } as const;
  const free = { ...claim, id: 'claim/free', title: 'a free key is claimed' };
  const shared = { ...claim, id: 'claim/shared', title: 'two caches exclude each other' };
  const stdout = printTables({
    entries: [
      { ...free, subject: 'memory', status: 'pass' },
      { ...shared, subject: 'memory', status: 'skip', skipReason: 'one process alone' },
      { ...free, subject: 'redis', status: 'fail', error: 'no answer' },
      { ...shared, subject: 'redis', status: 'pass' },
    ],
    others: ['redis: cannot be loaded'],
  });
  expect(stdout).toBe(`\
| deduplication cache           | memory    | redis     |
| :---------------------------- | --------- | --------- |
| **claim**                     |           |           |
| a free key is claimed         | yes       | **FAILS** |
| two caches exclude each other | skip 1    | yes       |
| **passed / skipped / failed** | 1 / 1 / 0 | 1 / 0 / 1 |

1. one process alone

Besides:

- redis: cannot be loaded`);
});

test(
  'a suite that does not run is no success, and an unknown flag or package is status 2',
  patient,
  async () => {
    const withoutBroker = await conformance('--json', 'backend-rabbitmq');
    expect(withoutBroker).toMatchObject({ status: 1 });
    expect(withoutBroker.stderr).toContain('No conformance suite ran.');
    for (const wrong of ['--xml', 'backend-pigeon']) {
      const { status, stderr, stdout } = await conformance(wrong);
      expect([status, stdout]).toEqual([2, '']);
      expect(stderr).toContain(`unknown: ${wrong}\nusage: `);
    }
  },
);
