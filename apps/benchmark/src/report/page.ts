import { mkdir, writeFile } from 'node:fs/promises';
import type { Environment } from '../environment.ts';
import type { TableResult } from '../run-table.ts';
import { chartOf } from './chart.ts';
import { type Grid, gridOf, textOf } from './text-table.ts';

/** Where and with which versions a table was measured. */
export interface Circumstances extends Environment {
  /** Broker and client libraries with their versions. */
  readonly versions: readonly string[];
}

/** Writes `<table>.md` and `<table>.svg`. */
export async function writePage(
  directory: string,
  result: TableResult,
  circumstances: Circumstances,
): Promise<void> {
  const { name } = result.table;
  await mkdir(directory, { recursive: true });
  await writeFile(`${directory}/${name}.svg`, chartOf(result));
  await writeFile(`${directory}/${name}.md`, pageOf(result, circumstances));
}

function pageOf(result: TableResult, { machine, system, node, load, versions }: Circumstances): string {
  const { table, rounds, verdicts } = result;
  const goals = verdicts.map((verdict) => `- ${textOf(verdict)}`);
  const count = rounds.length === 1 ? 'one round' : `${rounds.length} rounds`;
  return [
    `# ${table.title}`,
    table.about,
    `![${table.title}](${table.name}.svg)`,
    markdownTable(gridOf(result)),
    ...(goals.length > 0 ? [`Goals:\n\n${goals.join('\n')}`] : []),
    `${messages(result)} in each run; ${count}, interleaved; medians. Measured with \`pnpm bench ${table.name}\` on ${[machine, system, `Node ${node}`, ...versions].join('; ')}; load ${load.toFixed(1)} at the start.`,
    '',
  ]
    .join('\n\n')
    .replace(/\n\n$/, '\n');
}

function messages({ table }: TableResult): string {
  const counts = table.contenders.map((contender) => contender.messages ?? table.messages);
  const [least, most] = [Math.min(...counts), Math.max(...counts)];
  const text = (count: number): string => count.toLocaleString('en-US');
  return least === most ? `${text(least)} messages` : `${text(least)} to ${text(most)} messages`;
}

function markdownTable({ head, rows }: Grid): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const rule = head.map((_, column) => (column === 0 ? '---' : '---:'));
  return [line(head), line(rule), ...rows.map(line)].join('\n');
}
