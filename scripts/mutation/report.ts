import { equivalents } from './equivalents.ts';
import type { Mutant } from './stryker.ts';

/** What became of the mutants of a source. */
export interface Result {
  /** Path of the source. */
  readonly name: string;
  readonly killed: number;
  readonly survivors: readonly Mutant[];
  readonly equivalent: readonly (Mutant & { readonly reason: string })[];
}

/** Killed: a test failed, or did not end. What does not compile or runs only when a module is loaded does not count. */
export function resultOf(name: string, all: readonly Mutant[]): Result {
  const mutants = all.filter(({ source }) => source === name);
  const alive = mutants.filter(({ status }) => status === 'Survived' || status === 'NoCoverage');
  const judged = alive.map((mutant) => ({ ...mutant, reason: reasonOf(mutant) }));
  return {
    name,
    killed: mutants.filter(({ status }) => status === 'Killed' || status === 'Timeout').length,
    survivors: judged.filter(({ reason }) => reason === undefined),
    equivalent: judged.flatMap(({ reason, ...mutant }) =>
      reason === undefined ? [] : [{ ...mutant, reason }],
    ),
  };
}

function reasonOf({ source, line, replacement }: Mutant): string | undefined {
  return equivalents.find(
    (one) => one.source === source && one.line === line && one.replacement === replacement,
  )?.reason;
}

/** The page with the results of these subjects; those of the others stay. */
export function pageWith(page: string, results: readonly Result[]): string {
  return results.reduce((text, result) => withSection(withRow(text, result), result), page);
}

function withRow(page: string, { name, killed, survivors, equivalent }: Result): string {
  const total = killed + survivors.length;
  const figures = [
    total,
    killed,
    survivors.length,
    equivalent.length,
    `${((100 * killed) / total).toFixed(1)} %`,
  ];
  const row = `| ${[name, ...figures].join(' | ')} |`;
  return replaceBetween(page, 'figures', (rows) => {
    const lines = rows.split('\n').filter((line) => line.startsWith('|') && !line.startsWith(`| ${name} `));
    return [...lines, row].join('\n');
  });
}

function withSection(page: string, { name, survivors, equivalent }: Result): string {
  const told = [
    ...survivors.map((mutant) => itemOf(mutant)),
    ...equivalent.map((mutant) => `${itemOf(mutant)}\n  Equivalent: ${mutant.reason}`),
  ];
  const section = `### ${name}\n\n${told.length > 0 ? told.join('\n') : 'None.'}`;
  return replaceBetween(page, 'survivors', (text) => {
    const sections = text
      .split(/\n(?=### )/)
      .filter((one) => one.startsWith('### ') && !one.startsWith(`### ${name}\n`));
    return [...sections.map((one) => one.trim()), section].join('\n\n');
  });
}

function itemOf({ source, lineNumber, line, replacement }: Mutant): string {
  return `- \`${source}:${lineNumber}\`: \`${code(line)}\` → \`${code(replacement)}\``;
}

function code(text: string): string {
  const oneLine = text.replace(/\s+/g, ' ').replaceAll('`', "'");
  return oneLine.length > 160 ? `${oneLine.slice(0, 160)}…` : oneLine;
}

function replaceBetween(page: string, name: string, change: (text: string) => string): string {
  const begins = `<!-- mutation ${name} -->`;
  const ends = `<!-- /mutation ${name} -->`;
  const from = page.indexOf(begins) + begins.length;
  const to = page.indexOf(ends);
  if (to < from) throw new Error(`docs/mutation-testing.md has no ${begins} … ${ends}`);
  return `${page.slice(0, from)}\n\n${change(page.slice(from, to).trim())}\n\n${page.slice(to)}`;
}
