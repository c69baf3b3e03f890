import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cachedInstallation } from '../../apps/brokers/src/cache.ts';
import type { Subject } from './subjects.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const cache = join(root, 'node_modules/.cache/mutation');
/** Stryker needs a Node of 22 or later. */
const oldestNode = 22;
const nodeVersion = '24';

/** What became of one mutant. */
export interface Mutant {
  readonly source: string;
  readonly lineNumber: number;
  /** The line that it changes, without its indentation. */
  readonly line: string;
  readonly replacement: string;
  readonly status: string;
}

/** Runs Stryker over a subject, in a copy of the sources. */
export async function mutate(
  subject: Subject,
  sources: readonly string[],
  concurrency: number,
): Promise<Mutant[]> {
  await mkdir(cache, { recursive: true });
  const configuration = join(cache, 'stryker.json');
  const report = join(cache, 'report.json');
  await writeFile(configuration, JSON.stringify(configurationOf(sources, report, concurrency)));
  const stryker = join(root, 'node_modules/@stryker-mutator/core/bin/stryker.js');
  const child = spawn(await nodeForStryker(), [stryker, 'run', configuration], {
    cwd: root,
    env: { ...process.env, MELANGE_MUTATION_SUBJECT: subject.name },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const [status] = (await once(child, 'exit')) as [number | null];
  if (status !== 0) throw new Error(`Stryker ended with status ${status} over "${subject.name}"`);
  return readMutants(report);
}

function configurationOf(sources: readonly string[], report: string, concurrency: number): object {
  return {
    mutate: sources,
    testRunner: 'vitest',
    plugins: ['@stryker-mutator/vitest-runner'],
    vitest: { configFile: 'scripts/mutation/vitest.config.ts', related: false },
    coverageAnalysis: 'perTest',
    // What runs once, when a module is loaded, would need all tests anew for each mutant.
    ignoreStatic: true,
    // It rewrites tsconfig.json by TypeScript's programming interface, which TypeScript 7 has no longer.
    tsconfigFile: 'none.json',
    reporters: ['progress-append-only', 'json'],
    jsonReporter: { fileName: report },
    tempDirName: join(cache, 'sandbox'),
    ignorePatterns: ['dist', 'docs', 'apps'],
    // Of the error of a promise that a mutant leaves alone.
    allowEmpty: true,
    concurrency,
    timeoutMS: 8_000,
  };
}

async function readMutants(report: string): Promise<Mutant[]> {
  const { files } = JSON.parse(await readFile(report, 'utf8')) as {
    files: Record<string, { source: string; mutants: StrykerMutant[] }>;
  };
  return Object.entries(files).flatMap(([source, file]) => {
    const lines = file.source.split('\n');
    return file.mutants.map(({ location, replacement, status }) => ({
      source,
      lineNumber: location.start.line,
      line: (lines[location.start.line - 1] ?? '').trim(),
      replacement: replacement ?? '',
      status,
    }));
  });
}

interface StrykerMutant {
  readonly location: { readonly start: { readonly line: number } };
  readonly replacement?: string;
  readonly status: string;
}

async function nodeForStryker(): Promise<string> {
  if (Number(process.versions.node.split('.')[0]) >= oldestNode) return process.execPath;
  const home = await cachedInstallation(`node-${nodeVersion}`, [`node@${nodeVersion}`]);
  return join(home, 'node_modules/node/bin/node');
}
