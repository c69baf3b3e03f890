import { attributeText, escaped, svg } from './svg.ts';

/** A span, as far as it is drawn. Times are in ms. */
export interface DrawnSpan {
  readonly id: string;
  readonly parent: string | undefined;
  readonly name: string;
  readonly start: number;
  readonly end: number;
  readonly attributes: Readonly<Record<string, unknown>>;
}

interface Row {
  readonly span: DrawnSpan;
  readonly depth: number;
}

const width = 1_120;
const labelWidth = 380;
const rowHeight = 24;
const top = 76;
const colors: Readonly<Record<string, string>> = {
  rabbitmq: '#e07a1f',
  kafka: '#5b8def',
  aws_sqs: '#8e5bd6',
  redis: '#c8443c',
  nats: '#3a9d6e',
  melange_memory: '#8a8f98',
};

/** The spans of one trace as a picture: below each span what followed from it, from left to right in time. */
export function traceView(title: string, spans: readonly DrawnSpan[]): string {
  const rows = rowsOf(spans);
  const start = Math.min(...spans.map((span) => span.start));
  const end = Math.max(...spans.map((span) => span.end));
  const scale = (width - labelWidth - 150) / (end - start || 1);
  const x = (time: number): number => labelWidth + (time - start) * scale;
  const systems = [...new Set(spans.map(systemOf))];
  const legend = systems.map((system, index) => {
    const left = 16 + index * 130;
    return `<rect x="${left}" y="40" width="12" height="12" rx="2" fill="${colorOf(system)}"/><text x="${left + 18}" y="50">${escaped(system)}</text>`;
  });
  const bars = rows.map(({ span, depth }, index) => {
    const y = top + index * rowHeight;
    const left = x(span.start);
    const length = Math.max(2, (span.end - span.start) * scale);
    const failed = span.attributes['error.type'] !== undefined;
    const color = colorOf(systemOf(span));
    const said = [durationText(span.end - span.start), noteOf(span)].filter((part) => part !== '').join(', ');
    const stripe =
      index % 2 === 0 ? `<rect x="0" y="${y}" width="${width}" height="${rowHeight}" fill="#f6f7f9"/>` : '';
    return `${stripe}<text x="${16 + depth * 14}" y="${y + 16}">${escaped(span.name)}</text><rect${attributeText({ x: left.toFixed(1), y: y + 6, width: length.toFixed(1), height: 12, rx: 2, fill: color, stroke: failed ? '#c00' : 'none', 'stroke-width': 2 })}/><text x="${(left + length + 6).toFixed(1)}" y="${y + 16}" class="note"${failed ? ' fill="#c00"' : ''}>${escaped(said)}</text>`;
  });
  const subtitle = `${spans.length} spans, ${systems.length} brokers, ${durationText(end - start)}`;
  return svg(width, top + rows.length * rowHeight + 16, title, subtitle, [...legend, ...bars]);
}

/** Depth first, in the order in which they began. */
function rowsOf(spans: readonly DrawnSpan[]): readonly Row[] {
  const known = new Set(spans.map(({ id }) => id));
  const below = (parent: string | undefined, depth: number): Row[] =>
    spans
      .filter(
        (span) => (span.parent !== undefined && known.has(span.parent) ? span.parent : undefined) === parent,
      )
      .sort((one, other) => one.start - other.start)
      .flatMap((span) => [{ span, depth }, ...below(span.id, depth + 1)]);
  return below(undefined, 0);
}

function systemOf({ attributes }: DrawnSpan): string {
  return String(attributes['messaging.system']);
}

function colorOf(system: string): string {
  return colors[system] ?? '#444';
}

function durationText(milliseconds: number): string {
  return milliseconds < 1_000
    ? `${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms`
    : `${(milliseconds / 1_000).toFixed(2)} s`;
}

/** What became of it, where that is worth a word. */
function noteOf({ attributes }: DrawnSpan): string {
  const outcome = attributes['melange.outcome'];
  if (outcome === 'retry')
    return `${attributes['error.type'] ?? 'deferred'}: again in ${attributes['melange.retry.delay_ms']} ms`;
  if (outcome === 'dead-letter') return `dead letter: ${attributes['melange.dead_letter.reason']}`;
  const attempt = attributes['melange.attempt'];
  return typeof attempt === 'number' && attempt > 1 ? `attempt ${attempt}` : '';
}
