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

/** What the README says of the benchmarks: each with its goals, reached or not. */
export function benchmarksTable(benchmarks: readonly Benchmark[]): string {
  if (benchmarks.length === 0) return 'No results are checked in yet.';
  const rows = benchmarks.map(({ path, title, goals }) => [
    `[${title}](${path})`,
    goals.join('<br>').replaceAll('|', '\\|'),
  ]);
  return aligned([['measured', 'goals'], ['-', '-'], ...rows]).join('\n');
}
