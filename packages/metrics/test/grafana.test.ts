import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { metricDefinitions, prometheusName } from '@melange/metrics';
import { MetricAttribute } from '@melange/metrics/instruments';
import { describe, expect, it, test } from 'vitest';
import { parse, parseAllDocuments, stringify } from 'yaml';
import { promtool, run } from './support/promtool.ts';

const docs = new URL('../../../docs/', import.meta.url);
const read = (name: string): Promise<string> => readFile(new URL(name, docs), 'utf8');

interface Panel {
  readonly id: number;
  readonly title: string;
  readonly type: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly { readonly expr: string }[];
}

interface Rules {
  readonly groups: readonly {
    readonly rules: readonly {
      readonly alert: string;
      readonly expr: string;
      readonly annotations: Readonly<Record<string, string>>;
    }[];
  }[];
}

const dashboard = JSON.parse(await read('grafana/dashboard.json')) as {
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly name: string; readonly definition?: string }[] };
};
const alerts = (parse(await read('grafana/alerts.yaml')) as Rules).groups.flatMap(({ rules }) => rules);
const manifests = [...(await read('autoscaling.md')).matchAll(/^```yaml\n(.*?)^```/gms)].map(
  ([, yaml]) => yaml as string,
);

/** Names that a query may use: of series, and of labels. */
const series = new Map<string, readonly string[]>(
  Object.entries(metricDefinitions).flatMap(([, definition]) => {
    const name = prometheusName(definition);
    const suffixes = definition.kind === 'histogram' ? ['_bucket', '_sum', '_count'] : [''];
    return suffixes.map((suffix): [string, readonly string[]] => [name + suffix, [name]]);
  }),
);
const labels = ['job', 'le', ...Object.values(MetricAttribute).map((name) => name.replaceAll('.', '_'))];

/** Every word of a query that looks like a metric's or a label's name, and is none. */
function unknownWords(query: string): string[] {
  const words = query.replaceAll(/"[^"]*"/g, '').match(/\b(melange|messaging|error|otel)_\w+/g) ?? [];
  return words.filter((word) => !series.has(word) && !labels.includes(word));
}

const expressions = dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));

describe('the dashboard', () => {
  it('asks for metrics and labels that there are', () => {
    expect(expressions.length).toBeGreaterThan(15);
    for (const expression of expressions) expect(unknownWords(expression), expression).toEqual([]);
    for (const { definition = '' } of dashboard.templating.list) expect(unknownWords(definition)).toEqual([]);
  });

  it('shows every metric', () => {
    const shown = expressions.join('\n');
    for (const definition of Object.values(metricDefinitions))
      expect(shown).toContain(prometheusName(definition));
  });

  it('has panels of different ids that do not overlap', () => {
    const cells = new Set<string>();
    for (const { title, gridPos } of dashboard.panels)
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1)
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
          expect(x, title).toBeLessThan(24);
          expect(cells.has(`${x} ${y}`), title).toBe(false);
          cells.add(`${x} ${y}`);
        }
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length);
  });
});

test.skipIf(promtool === undefined)(
  'every query of the dashboard is one to Prometheus (skipped where there is no promtool)',
  async () => {
    const rules = expressions.map((expression, index) => ({
      record: `query:${index}`,
      expr: expression.replaceAll('$__rate_interval', '5m').replaceAll('$__range', '1h'),
    }));
    const folder = await mkdtemp(join(tmpdir(), 'melange-dashboard-'));
    await writeFile(join(folder, 'rules.yaml'), stringify({ groups: [{ name: 'dashboard', rules }] }));
    expect(await run(['check', 'rules', join(folder, 'rules.yaml')])).toBe('');
    await rm(folder, { recursive: true });
  },
);

describe('the alert rules', () => {
  it('ask for metrics and labels that there are, and say something', () => {
    expect(alerts.length).toBeGreaterThan(5);
    for (const { alert, expr, annotations } of alerts) {
      expect(unknownWords(expr), alert).toEqual([]);
      expect(Object.keys(annotations)).toEqual(['summary', 'description']);
      const named = [...(annotations.summary ?? '').matchAll(/\$labels\.(\w+)/g)].map(([, name]) => name);
      // A label that the query sums away is empty in the text.
      for (const name of named) expect(expr, alert).toMatch(new RegExp(`by \\([^)]*\\b${name}\\b`));
    }
  });

  test.skipIf(promtool === undefined)(
    'are rules to Prometheus (skipped where there is no promtool)',
    async () => {
      const file = fileURLToPath(new URL('grafana/alerts.yaml', docs));
      expect(await run(['check', 'rules', file])).toBe('');
    },
  );

  test.skipIf(promtool === undefined)(
    'fire when they should, and not before (skipped where there is no promtool)',
    async () => {
      const file = fileURLToPath(new URL('alerts.test.yaml', import.meta.url));
      expect(await run(['test', 'rules', file])).toBe('');
    },
  );
});

describe('the manifests for autoscaling', () => {
  it('are manifests for KEDA, and ask for metrics that there are', () => {
    expect(manifests.length).toBe(7);
    for (const manifest of manifests) {
      expect(parseAllDocuments(manifest)).toHaveLength(1);
      const { kind, spec } = parse(manifest) as {
        readonly kind: string;
        readonly spec: { readonly triggers: readonly { readonly metadata: Record<string, unknown> }[] };
      };
      expect(kind).toBe('ScaledObject');
      expect(unknownWords(manifest)).toEqual([]);
      // Kubernetes takes no number for what is a text.
      for (const { metadata } of spec.triggers)
        for (const value of Object.values(metadata)) expect(value).toBeTypeOf('string');
    }
  });
});
