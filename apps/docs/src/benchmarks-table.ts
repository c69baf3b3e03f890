import { aligned } from '../../../packages/conformance/src/report/table.ts';
import type { MarkdownPage } from './markdown-page.ts';

/** One measured comparison: a page of `docs/benchmarks`. */
export interface Benchmark {
  readonly path: string;
  readonly title: string;
  /** What was aimed at, and whether it was reached. */
  readonly goals: readonly string[];
}

/** The comparisons that are checked in. */
export function benchmarksOf(pages: readonly MarkdownPage[]): readonly Benchmark[] {
  return pages
    .filter(({ path }) => /^docs\/benchmarks\/(?!README)[^/]+\.md$/.test(path))
    .map(({ path, text, headings }) => {
      const [, goals = ''] = /^Goals:\n\n((?:- .*\n)+)/m.exec(text) ?? [];
      const [, title = path] = headings[0] ?? [];
      return { path, title, goals: [...goals.matchAll(/^- (.*)$/gm)].map(([, goal = '']) => goal) };
    });
}

/** What the README says of the benchmarks: those that have goals, reached or not. */
export function benchmarksTable(benchmarks: readonly Benchmark[]): string {
  const rows = benchmarks
    .filter(({ goals }) => goals.length > 0)
    .map(({ path, title, goals }) => [
      `[${title}](${path})`,
      ...[0, 1].map((column) => goals.map((goal) => goalAndResult(goal)[column]).join('<br>')),
    ]);
  if (rows.length === 0) return 'No results are checked in yet.';
  return aligned([['Melange', 'goal', 'measured'], ['-', '-', '-'], ...rows]).join('\n');
}

/** `Melange: messages/s, as a ratio, at least 8: 24.73, met` */
function goalAndResult(goal: string): readonly [string, string] {
  const form = /^Melange: (.+?)(, as a ratio)?, (at (?:least|most) [\d.,]+): ([\d.,]+), (met|not met)$/;
  const [, what, ratio, bound, value, outcome] = form.exec(goal) ?? [];
  if (what === undefined) throw new Error(`A goal of a form that is not known: ${goal}`);
  const times = ratio === undefined ? '' : '×';
  return [`${what} ${bound}${times}`, `${value}${times}, ${outcome}`];
}
