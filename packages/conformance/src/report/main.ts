import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ConformanceNote } from '../register.ts';
import { printTables, type Report, type ReportEntry } from './table.ts';

const usage = `usage: pnpm conformance [--json] [packages]

Runs the conformance.test.ts of those packages, by default of all, and prints which behaviours each adapter has.
  --json   the same as data
  --help   this text
Exit code: 0 all pass or skip, 1 something fails, 2 a flag or a package is not known.`;

/** The part of vitest's JSON that is read here. */
interface VitestResults {
  readonly testResults: readonly {
    readonly name: string;
    readonly message?: string;
    readonly status: string;
    readonly assertionResults: readonly {
      readonly fullName: string;
      readonly status: string;
      readonly failureMessages?: readonly string[] | null;
      readonly meta?: { readonly conformance?: ConformanceNote };
    }[];
  }[];
}

const suiteOf = (name: string): string => `packages/${name}/test/conformance.test.ts`;
const root = fileURLToPath(new URL('../../../..', import.meta.url));

process.exitCode = await main(process.argv.slice(2));

async function main(parameters: readonly string[]): Promise<number> {
  const flags = parameters.filter((parameter) => parameter.startsWith('-'));
  const packages = parameters.filter((parameter) => !parameter.startsWith('-'));
  if (flags.includes('--help')) {
    console.log(usage);
    return 0;
  }
  const unknown = packages.filter((name) => !existsSync(join(root, suiteOf(name))));
  const wrong = [...flags.filter((flag) => flag !== '--json'), ...unknown];
  if (wrong.length > 0) {
    console.error(`unknown: ${wrong.join(' ')}\n${usage}`);
    return 2;
  }
  const report = read(await runSuites(packages));
  console.log(flags.includes('--json') ? JSON.stringify(report, undefined, 2) : printTables(report));
  for (const { status, subject, id, error } of report.entries) {
    if (status === 'fail') console.error(`\n${subject}: ${id}\n${error ?? ''}`);
  }
  if (report.entries.length === 0) console.error('No conformance suite ran.');
  const isClean = report.others.length === 0 && report.entries.every(({ status }) => status !== 'fail');
  return isClean && report.entries.length > 0 ? 0 : 1;
}

/** Vitest's progress goes to standard error, so that standard output is the report alone. */
async function runSuites(packages: readonly string[]): Promise<VitestResults> {
  const directory = await mkdtemp(join(tmpdir(), 'melange-conformance-'));
  const file = join(directory, 'results.json');
  try {
    const manifest = createRequire(import.meta.url).resolve('vitest/package.json');
    const program = join(dirname(manifest), 'vitest.mjs');
    const arguments_ = [
      'run',
      ...(packages.length === 0 ? ['conformance.test'] : packages.map(suiteOf)),
      '--reporter=json',
      '--reporter=dot',
      `--outputFile.json=${file}`,
    ];
    const child = spawn(process.execPath, [program, ...arguments_], { cwd: root, stdio: ['ignore', 2, 2] });
    await new Promise((resolve, reject) => child.once('error', reject).once('close', resolve));
    return JSON.parse(await readFile(file, 'utf8')) as VitestResults;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function read({ testResults }: VitestResults): Report {
  const entries: ReportEntry[] = [];
  const others: string[] = [];
  for (const file of testResults) {
    if (file.assertionResults.length === 0) others.push(`${file.name}: ${file.message ?? file.status}`);
    for (const test of file.assertionResults) {
      const note = test.meta?.conformance;
      const status = test.status === 'passed' ? 'pass' : test.status === 'failed' ? 'fail' : 'skip';
      const error = test.failureMessages?.join('\n');
      if (note !== undefined)
        entries.push({ ...note, status, ...(status === 'fail' && error ? { error } : {}) });
      else if (status === 'fail') others.push(`${test.fullName}: ${error ?? 'failed'}`);
      else if (status === 'skip') console.error(`skipped: ${test.fullName}`);
    }
  }
  return { entries, others };
}
