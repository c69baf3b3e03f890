import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { Metric, semanticConventionsVersion } from '../src/index.ts';
import { Attribute } from '../src/names.ts';

const page = await readFile(new URL('../../../docs/opentelemetry.md', import.meta.url), 'utf8');

/** First column of the table under a heading. */
function firstColumn(heading: string): string[] {
  const section = page.split(`## ${heading}\n`)[1]?.split('\n## ')[0] ?? '';
  return [...section.matchAll(/^\| `([^`]+)` /gm)].map(([, name]) => name as string);
}

test('the page lists every attribute of spans, and no other', () => {
  const elsewhere: string[] = [Attribute.oldOperation, Attribute.leaseOf];
  const written = Object.values(Attribute).filter((name) => !elsewhere.includes(name));
  expect(firstColumn('Attributes').sort()).toEqual([...written].sort());
  for (const name of elsewhere) expect(page).toContain(`\`${name}\``);
});

test('the page lists every metric, and no other, and names the version of the conventions', () => {
  expect(firstColumn('Metrics').sort()).toEqual(Object.values(Metric).sort());
  expect(page).toContain(`version ${semanticConventionsVersion}`);
});
