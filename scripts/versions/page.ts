/** How a suite did on a version of a broker. */
export interface SeenVersion {
  readonly suite: string;
  /** `RabbitMQ 4.0.5` */
  readonly name: string;
  readonly source: string;
  readonly passed: number;
  readonly skipped: number;
  readonly failed: number;
  /** Day, as `2026-11-29`. */
  readonly on: string;
}

const begins = '<!-- versions -->';
const ends = '<!-- /versions -->';

/** The page with this row in place of an earlier one of the same suite and version. */
export function pageWith(page: string, seen: SeenVersion): string {
  const from = page.indexOf(begins) + begins.length;
  const to = page.indexOf(ends);
  if (to < from) throw new Error(`docs/broker-versions.md has no ${begins} … ${ends}`);
  const adapter = seen.suite.replace(/^packages\/|\/$/g, '');
  const row = [adapter, seen.name, seen.source, seen.on, seen.passed, seen.skipped, seen.failed];
  const rows = page
    .slice(from, to)
    .trim()
    .split('\n')
    .filter((line) => !isOf(line, adapter, seen.name));
  return `${page.slice(0, from)}\n\n${[...rows, `| ${row.join(' | ')} |`].join('\n')}\n\n${page.slice(to)}`;
}

function isOf(line: string, adapter: string, name: string): boolean {
  const [, first, second] = line.split('|').map((cell) => cell.trim());
  return first === adapter && second === name;
}
