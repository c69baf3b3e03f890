import { readFile } from 'node:fs/promises';
import { MetricAttribute, metricDefinitions, prometheusName } from '@melange/metrics/instruments';
import { expect, test } from 'vitest';
import { semanticConventionsVersion } from '../src/index.ts';
import { Attribute } from '../src/names.ts';

const page = await readFile(new URL('../../../docs/opentelemetry.md', import.meta.url), 'utf8');

/** Rows of the table under a heading, as texts of their cells. */
function rows(heading: string): string[][] {
  const section = page.split(`## ${heading}\n`)[1]?.split('\n## ')[0] ?? '';
  const lines = section.split('\n').filter((line) => line.startsWith('| `'));
  return lines.map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

test('the page lists every attribute of spans, and no other', () => {
  const written = Object.values(Attribute).filter((name) => name !== Attribute.oldOperation);
  expect(
    rows('Attributes')
      .map(([name]) => name)
      .sort(),
  ).toEqual(written.map((name) => `\`${name}\``).sort());
  expect(page).toContain(`\`${Attribute.oldOperation}\``);
});

test('an attribute has one name in spans and in metrics', () => {
  const spans: Readonly<Record<string, string>> = Attribute;
  for (const [key, name] of Object.entries(MetricAttribute)) if (key in spans) expect(spans[key]).toBe(name);
});

test('the page lists every metric with its kind, unit and name at Prometheus, and names the version of the conventions', () => {
  const definitions = Object.values(metricDefinitions).map((definition) => [
    `\`${definition.name}\``,
    `\`${prometheusName(definition)}\``,
    [definition.kind, ...(definition.unit === '{status}' ? [] : [`\`${definition.unit}\``])].join(', '),
  ]);
  expect(rows('Metrics').map((cells) => cells.slice(0, 3))).toEqual(definitions);
  for (const name of Object.values(MetricAttribute)) expect(page).toContain(name);
  expect(page).toContain(`version ${semanticConventionsVersion}`);
});
