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

/** With its columns aligned, as the formatter wants them. */
function markdownTable({ head, rows }: Grid): string {
  const widths = head.map((_, column) =>
    Math.max(3, ...[head, ...rows].map((cells) => cells[column]?.length ?? 0)),
  );
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => padded(cell, widths[column] ?? 0, column)).join(' | ')} |`;
  const rule = widths.map((width, column) =>
    column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`,
  );
  return [line(head), line(rule), ...rows.map(line)].join('\n');
}

/** Names to the left, figures to the right. */
function padded(cell: string, width: number, column: number): string {
  return column === 0 ? cell.padEnd(width) : cell.padStart(width);
}
