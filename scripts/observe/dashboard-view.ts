import { escaped, svg } from './svg.ts';

/** One line of a panel. */
export interface Line {
  readonly name: string;
  /** Time in seconds, and value. */
  readonly points: readonly (readonly [time: number, value: number])[];
}

/** What a panel of the dashboard shows. */
export interface PanelView {
  readonly title: string;
  readonly unit: string;
  readonly lines: readonly Line[];
}

const columns = 3;
const panelWidth = 370;
const panelHeight = 210;
const plotHeight = 110;
const maxNamed = 4;
const colors = ['#5b8def', '#e07a1f', '#3a9d6e', '#8e5bd6', '#c8443c', '#8a8f98'];

/** The panels as a picture, in the order of the dashboard. */
export function dashboardView(title: string, panels: readonly PanelView[]): string {
  const times = panels.flatMap(({ lines }) => lines.flatMap(({ points }) => points.map(([time]) => time)));
  const [from, to] = [Math.min(...times), Math.max(...times)];
  const drawn = panels.map((panel, index) => {
    const left = 16 + (index % columns) * (panelWidth + 12);
    const top = 44 + Math.floor(index / columns) * (panelHeight + 12);
    return `<g transform="translate(${left} ${top})">${panelText(panel, from, to)}</g>`;
  });
  const width = 32 + columns * panelWidth + (columns - 1) * 12;
  const height = 56 + Math.ceil(panels.length / columns) * (panelHeight + 12);
  return svg(width, height, title, `${Math.round(to - from)} s`, drawn);
}

function panelText({ title, unit, lines: all }: PanelView, from: number, to: number): string {
  // The highest first; what stayed at 0 is not worth a name.
  const lines = all.filter((line) => highest(line) > 0).sort((one, other) => highest(other) - highest(one));
  const greatest = Math.max(0, ...lines.map(highest));
  const most = greatest === 0 ? 1 : greatest * 1.1;
  const [left, right, top] = [52, panelWidth - 12, 34];
  const x = (time: number): string => (left + ((time - from) / (to - from || 1)) * (right - left)).toFixed(1);
  const y = (value: number): string => (top + plotHeight - (value / most) * plotHeight).toFixed(1);
  const grid = [0, most / 2, most].map(
    (value) =>
      `<line x1="${left}" x2="${right}" y1="${y(value)}" y2="${y(value)}" stroke="#e4e6ea"/><text x="${left - 6}" y="${Number(y(value)) + 4}" text-anchor="end" class="small">${valueText(value, unit)}</text>`,
  );
  const drawn = lines.map(({ points }, index) => {
    const path = points.map(([time, value]) => `${x(time)},${y(value)}`).join(' ');
    return `<polyline fill="none" stroke="${colorOf(index)}" stroke-width="1.5" points="${path}"/>`;
  });
  const named = lines.slice(0, maxNamed).map(({ name }, index) => {
    const line = `translate(${left + (index % 2) * 160} ${top + plotHeight + 20 + Math.floor(index / 2) * 16})`;
    return `<g transform="${line}"><rect width="10" height="3" y="-4" fill="${colorOf(index)}"/><text x="15" class="small">${escaped(shortened(name))}</text></g>`;
  });
  const more =
    lines.length > maxNamed
      ? `<text x="${right}" y="${top + plotHeight + 52}" text-anchor="end" class="small">and ${lines.length - maxNamed} more</text>`
      : '';
  const frame = `<rect width="${panelWidth}" height="${panelHeight}" rx="4" fill="#fff" stroke="#d6d9de"/>`;
  return [frame, `<text x="12" y="20">${escaped(title)}</text>`, ...grid, ...drawn, ...named, more].join('');
}

function highest({ points }: Line): number {
  return Math.max(0, ...points.map(([, value]) => value));
}

function colorOf(index: number): string {
  return colors[index % colors.length] as string;
}

function valueText(value: number, unit: string): string {
  if (unit === 's' && value > 0 && value < 1) return `${(value * 1_000).toFixed(value < 0.01 ? 1 : 0)} ms`;
  const number = value >= 100 || value === 0 ? value.toFixed(0) : value.toPrecision(2);
  return `${number}${unit === 's' ? ' s' : unit === 'cps' ? '/s' : ''}`;
}

function shortened(name: string): string {
  return name.length > 21 ? `${name.slice(0, 20)}…` : name;
}
