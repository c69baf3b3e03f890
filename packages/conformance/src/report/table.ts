import type { ConformanceNote } from '../register.ts';

/** How one behaviour of one subject came out. */
export interface ReportEntry extends ConformanceNote {
  readonly status: 'pass' | 'skip' | 'fail';
  readonly error?: string;
}

/** What the table says, as data. */
export interface Report {
  readonly entries: readonly ReportEntry[];
  /** Tests that failed, or files that could not be loaded, outside the suites. */
  readonly others: readonly string[];
}

/** A Markdown table for each kind of suite: behaviours by subject, skips with their reasons below. */
export function printTables(report: Report): string {
  const suites = [...new Set(report.entries.map((entry) => entry.suite))];
  const parts = suites.map((suite) =>
    table(
      suite,
      report.entries.filter((entry) => entry.suite === suite),
    ),
  );
  if (report.others.length > 0)
    parts.push(['Besides:', '', ...report.others.map((line) => `- ${line}`)].join('\n'));
  return parts.join('\n\n');
}

function table(suite: string, entries: readonly ReportEntry[]): string {
  const subjects = [...new Set(entries.map((entry) => entry.subject))];
  const notes: string[] = [];
  const rows = [
    [suite, ...subjects],
    [':---', ...subjects.map(() => '---')],
  ];
  let group: string | undefined;
  for (const id of new Set(entries.map((entry) => entry.id))) {
    const ofId = entries.filter((entry) => entry.id === id);
    const first = ofId[0] as ReportEntry;
    if (first.group !== group) rows.push([`**${first.group}**`, ...subjects.map(() => '')]);
    group = first.group;
    const cells = subjects.map((subject) =>
      cell(
        ofId.find((entry) => entry.subject === subject),
        notes,
      ),
    );
    rows.push([first.title, ...cells]);
  }
  const counts = subjects.map((subject) => count(entries.filter((entry) => entry.subject === subject)));
  rows.push(['**passed / skipped / failed**', ...counts]);
  const footnotes = notes.map((reason, index) => `${index + 1}. ${reason}`);
  return [...aligned(rows), '', ...footnotes].join('\n').trimEnd();
}

function cell(entry: ReportEntry | undefined, notes: string[]): string {
  if (entry === undefined) return '';
  if (entry.status !== 'skip') return entry.status === 'pass' ? 'yes' : '**FAILS**';
  const reason = entry.skipReason ?? 'no reason given';
  if (!notes.includes(reason)) notes.push(reason);
  return `skip ${notes.indexOf(reason) + 1}`;
}

function count(entries: readonly ReportEntry[]): string {
  const of = (status: ReportEntry['status']) => entries.filter((entry) => entry.status === status).length;
  return `${of('pass')} / ${of('skip')} / ${of('fail')}`;
}

/** Cells padded to the width of their column; a row of dashes is the rule under the head. */
export function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  return rows.map((row) => {
    const cells = row.map((text, column) => {
      const width = widths[column] ?? 0;
      return /^:?-+$/.test(text) ? text.padEnd(width, '-') : text.padEnd(width);
    });
    return `| ${cells.join(' | ')} |`;
  });
}
