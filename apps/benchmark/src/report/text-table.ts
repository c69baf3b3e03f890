import Table from 'cli-table3';
import type { TableResult } from '../run-table.ts';
import type { Spread, Verdict } from '../statistics.ts';

/** Headings and rows, the same on the terminal and in Markdown. */
export interface Grid {
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

const mebibyte = 1_048_576;

/** Every contender with its figures. */
export function gridOf({ table, summaries }: TableResult): Grid {
  const isComparison = table.growth === undefined;
  const figures = [...new Set(summaries.flatMap((summary) => Object.keys(summary.figures)))];
  const ratios = isComparison ? ['ratio (min–max)'] : [];
  const cpuRatios = isComparison ? ['CPU ratio (min–max)'] : [];
  const requests = table.countsRequests === true ? ['requests/1,000'] : [];
  return {
    head: ['', 'messages/s', ...ratios, 'CPU µs/message', ...cpuRatios, 'peak MiB', ...requests, ...figures],
    rows: summaries.map((summary) => [
      summary.contender,
      whole(summary.rate.median),
      ...ratios.map(() => ratio(summary.rateRatio)),
      precise(summary.cpu.median),
      ...cpuRatios.map(() => ratio(summary.cpuRatio)),
      whole(summary.peakBytes.median / mebibyte),
      ...requests.map(() => whole(summary.requests.median)),
      ...figures.map((name) => whole(summary.figures[name]?.median ?? Number.NaN)),
    ]),
  };
}

/** For the terminal. */
export function textTable(grid: Grid): string {
  const text = new Table({ head: [...grid.head], style: { head: [], border: [] } });
  for (const row of grid.rows) text.push([...row]);
  return text.toString();
}

/** One line about a goal. */
export function textOf({ contender, figure, bound, value, reached, isMet }: Verdict): string {
  const what = {
    rate: 'messages/s, as a ratio',
    cpu: 'CPU per message, as a ratio',
    requests: 'requests/1,000',
  };
  return `${contender}: ${what[figure]}, ${bound} ${value}: ${reached.toFixed(2)}, ${isMet ? 'met' : 'not met'}`;
}

function ratio({ median, least, most }: Spread): string {
  return `${median.toFixed(2)} (${least.toFixed(2)}–${most.toFixed(2)})`;
}

function whole(value: number): string {
  return Number.isNaN(value) ? '' : Math.round(value).toLocaleString('en-US');
}

function precise(value: number): string {
  return value < 100 ? value.toFixed(2) : whole(value);
}
