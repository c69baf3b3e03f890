import { fileURLToPath } from 'node:url';
import type { BenchmarkOptions } from './arguments.ts';
import { Brokers } from './brokers.ts';
import { compile } from './compile.ts';
import { environment, versionOfBroker, versionOfLibrary } from './environment.ts';
import { startProgress } from './progress.ts';
import { type Circumstances, writePage } from './report/page.ts';
import { gridOf, textOf, textTable } from './report/text-table.ts';
import { runTable, type TableResult } from './run-table.ts';
import type { Table } from './table.ts';

/** A table, and where it was measured. */
export interface BenchmarkResult extends TableResult {
  readonly circumstances: Circumstances;
}

const docs = fileURLToPath(new URL('../../../docs/benchmarks', import.meta.url));

/**
 * Measures the chosen tables, reports on each as soon as it is done, and writes its page unless the run is a trial.
 *
 * @throws MissingBrokerError
 */
export async function runBenchmark(
  options: BenchmarkOptions,
  tables: readonly Table[],
): Promise<BenchmarkResult[]> {
  const chosen = tables.filter(({ name }) => options.tables.includes(name));
  const isTrial = options.scale < 1 || options.profileTo !== undefined;
  const total = chosen.reduce((sum, { contenders }) => sum + contenders.length * options.rounds, 0);
  const progress = startProgress();
  const brokers = new Brokers((line) => progress.say(line));
  const compiled = await compile();
  const results: BenchmarkResult[] = [];
  let done = 0;
  const onRun = (what: string): void => {
    progress.update(what, done, total);
    done += 1;
  };
  try {
    for (const table of chosen) {
      const { broker } = table;
      const versions = table.libraries.map(versionOfLibrary);
      const found = broker === undefined ? undefined : await brokers.find(broker);
      if (broker !== undefined && found !== undefined) versions.unshift(await versionOfBroker(broker, found));
      const circumstances = { ...environment(), versions };
      const measured = await runTable(table, { compiled, options, address: found?.address ?? '', onRun });
      const result = { ...measured, circumstances };
      results.push(result);
      if (!options.isJson) print(result, progress.say);
      if (!isTrial) await writePage(docs, result, circumstances);
    }
  } finally {
    progress.done();
    await compiled.remove();
    await brokers.release();
  }
  if (options.isJson) console.log(JSON.stringify(results.map(dataOf), undefined, 2));
  return results;
}

function print(result: TableResult, say: (line: string) => void): void {
  // Through the progress, which stands in the last line of a terminal.
  say('');
  console.log(`${result.table.title}\n${textTable(gridOf(result))}`);
  for (const verdict of result.verdicts) console.log(textOf(verdict));
}

/** What `--json` prints of a table. */
function dataOf({ table, rounds, summaries, verdicts, circumstances }: BenchmarkResult) {
  return { table: table.name, circumstances, summaries, verdicts, rounds };
}
