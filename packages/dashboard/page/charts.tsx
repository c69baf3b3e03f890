import type { Histogram } from '../src/api.ts';
import { count, letters, time } from './format.ts';

/** Values over time as a line, with its last and its largest value in words for those who do not see it. */
export function Line({ values, label }: { readonly values: readonly number[]; readonly label: string }) {
  const [width, height] = [160, 36];
  const largest = Math.max(1, ...values);
  const last = values.at(-1) ?? 0;
  const step = values.length > 1 ? width / (values.length - 1) : 0;
  const y = (value: number): number => height - 2 - (value / largest) * (height - 4);
  const points = values
    .map((value, index) => `${(index * step).toFixed(1)},${y(value).toFixed(1)}`)
    .join(' ');
  const text = `${label}: ${count(last)} now, at most ${count(Math.max(0, ...values))}`;
  return (
    <svg
      class="line"
      viewBox={`0 0 ${width} ${height}`}
      preserveAspectRatio="none"
      role="img"
      aria-label={text}
    >
      <title>{text}</title>
      {values.length > 1 && <polygon points={`0,${height} ${points} ${width},${height}`} />}
      {values.length > 1 && <polyline points={points} />}
    </svg>
  );
}

/** Letters over time as bars. */
export function Bars({ histogram }: { readonly histogram: Histogram }) {
  const { from, to, counts } = histogram;
  const [width, height] = [counts.length * 10, 60];
  const largest = Math.max(1, ...counts);
  const all = counts.reduce((sum, value) => sum + value, 0);
  const text = `${letters(all)} dead-lettered from ${time(from)} to ${time(to)}, at most ${count(largest)} in a bar`;
  return (
    <figure class="bars">
      <svg viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none" role="img" aria-label={text}>
        <title>{text}</title>
        {counts.map((value, index) => {
          const size = value === 0 ? 0 : Math.max(2, (value / largest) * height);
          return <rect key={index} x={index * 10 + 1} y={height - size} width={8} height={size} />;
        })}
      </svg>
      <figcaption>
        <span>{time(from)}</span>
        <span>{time(to)}</span>
      </figcaption>
    </figure>
  );
}
