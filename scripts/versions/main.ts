import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type Environment, environmentFor } from './environment.ts';
import { pageWith, type SeenVersion } from './page.ts';
import { type BrokerVersions, table } from './table.ts';

const usage = `usage: pnpm test:versions [names of brokers] [--write]

Runs the suites of each adapter on the oldest and the newest broker to be had, one after the other.
  --write   writes what was seen into docs/broker-versions.md
Exit code: 0, 1 where a test failed or a broker could not be had, 2 for wrong parameters.`;

const root = fileURLToPath(new URL('../..', import.meta.url));
const page = join(root, 'docs/broker-versions.md');

process.exitCode = await main(process.argv.slice(2));

async function main(parameters: readonly string[]): Promise<number> {
  const given = read(parameters);
  if (given === undefined) {
    console.error(usage);
    return 2;
  }
  let failed = 0;
  for (const broker of table.filter((one) => given.names.length === 0 || given.names.includes(one.broker))) {
    for (const version of broker.versions) {
      let environment: Environment;
      try {
        environment = await environmentFor(broker, version);
      } catch (error) {
        console.error(`versions: no ${version.product}: ${error instanceof Error ? error.message : error}`);
        failed += 1;
        continue;
      }
      for (const suite of broker.suites) {
        console.log(`versions: ${suite} on ${environment.name} (${environment.source})`);
        const seen = await runOn(environment, suite);
        console.log(`versions: ${seen.passed} passed, ${seen.skipped} skipped, ${seen.failed} failed`);
        if (seen.failed > 0 || seen.passed === 0) failed += 1;
        if (given.write) await writeFile(page, pageWith(await readFile(page, 'utf8'), seen));
      }
      await environment.close();
    }
  }
  return failed === 0 ? 0 : 1;
}

async function runOn({ name, source, env }: Environment, suite: string): Promise<SeenVersion> {
  const output = join(env.TMPDIR as string, 'results.json');
  const vitest = join(root, 'node_modules/vitest/vitest.mjs');
  const flags = ['--reporter=default', '--reporter=json', `--outputFile.json=${output}`, '--maxWorkers=2'];
  const child = spawn(process.execPath, [vitest, 'run', suite, ...flags], {
    cwd: root,
    env,
    stdio: 'inherit',
  });
  await once(child, 'exit');
  const text = await readFile(output, 'utf8').catch(() => '{}');
  const {
    numPassedTests: passed = 0,
    numFailedTests: failed = 0,
    numPendingTests: skipped = 0,
  } = JSON.parse(text) as Record<string, number>;
  return { suite, name, source, passed, failed, skipped, on: new Date().toISOString().slice(0, 10) };
}

function read(parameters: readonly string[]): { names: readonly string[]; write: boolean } | undefined {
  try {
    const { values, positionals } = parseArgs({
      args: [...parameters],
      allowPositionals: true,
      options: { write: { type: 'boolean', default: false } },
    });
    const isKnown = (name: string): boolean => table.some(({ broker }: BrokerVersions) => broker === name);
    return positionals.every(isKnown) ? { names: positionals, write: values.write } : undefined;
  } catch {
    return undefined;
  }
}
