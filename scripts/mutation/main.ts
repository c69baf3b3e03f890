import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { pageWith, type Result, resultOf } from './report.ts';
import { mutate } from './stryker.ts';
import { subjects } from './subjects.ts';

const usage = `usage: pnpm mutate [part of a path] [--concurrency n] [--write]

Changes the sources in small ways, one at a time, and looks whether a test fails.
  part of a path   only sources whose path has it; default: all of scripts/mutation/subjects.ts
  --concurrency    processes at once (default: 2)
  --write          writes the figures into docs/mutation-testing.md
Exit code: 0, 1 where less than 85 % are killed, 2 for wrong parameters.`;

const page = fileURLToPath(new URL('../../docs/mutation-testing.md', import.meta.url));
const leastKilled = 0.85;

process.exitCode = await main(process.argv.slice(2));

async function main(parameters: readonly string[]): Promise<number> {
  const given = read(parameters);
  if (given === undefined) {
    console.error(usage);
    return 2;
  }
  const results: Result[] = [];
  for (const subject of subjects) {
    const sources = subject.sources.filter((source) => source.includes(given.part));
    if (sources.length === 0) continue;
    console.log(`mutation: ${subject.name}`);
    const mutants = await mutate(subject, sources, given.concurrency);
    results.push(...sources.map((source) => resultOf(source, mutants)));
  }
  if (results.length === 0) {
    console.error(`no source of scripts/mutation/subjects.ts has "${given.part}" in its path`);
    return 2;
  }
  const before = await readFile(page, 'utf8');
  const after = pageWith(before, results);
  if (given.write) await writeFile(page, after);
  for (const { name, killed, survivors } of results) {
    const total = killed + survivors.length;
    console.log(`${name}: ${killed} of ${total} killed (${((100 * killed) / total).toFixed(1)} %)`);
    for (const { source, lineNumber, line, replacement } of survivors) {
      console.log(`  ${source}:${lineNumber}: ${line}\n    survives: ${replacement}`);
    }
  }
  return results.every(({ killed, survivors }) => killed >= leastKilled * (killed + survivors.length))
    ? 0
    : 1;
}

function read(
  parameters: readonly string[],
): { part: string; concurrency: number; write: boolean } | undefined {
  try {
    const { values, positionals } = parseArgs({
      args: [...parameters],
      allowPositionals: true,
      options: {
        concurrency: { type: 'string', default: '2' },
        write: { type: 'boolean', default: false },
      },
    });
    const concurrency = Number(values.concurrency);
    if (positionals.length > 1 || !(concurrency >= 1)) return undefined;
    return { part: positionals[0] ?? '', concurrency, write: values.write };
  } catch {
    return undefined;
  }
}
