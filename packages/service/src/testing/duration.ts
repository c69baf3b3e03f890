import { MelangeError } from '@melange/core';

/** A time that passes: ms, or a number with its unit, such as `90s`, `1.5h`, `2 days`. */
export type Duration = number | `${number}${'' | ' '}${DurationUnit}`;

/** Units of a `Duration`. */
export type DurationUnit =
  | 'ms'
  | 's'
  | 'second'
  | 'seconds'
  | 'm'
  | 'min'
  | 'minute'
  | 'minutes'
  | 'h'
  | 'hour'
  | 'hours'
  | 'd'
  | 'day'
  | 'days';

const units: readonly (readonly [unit: RegExp, ms: number])[] = [
  [/^ms$/, 1],
  [/^s(econds?)?$/, 1_000],
  [/^m(in(utes?)?)?$/, 60_000],
  [/^h(ours?)?$/, 3_600_000],
  [/^d(ays?)?$/, 86_400_000],
];

/** @throws MelangeError `CONFIGURATION` for a text that says no duration, and for what is negative or no number. */
export function durationMs(duration: Duration): number {
  const [, count, unit] = /^([\d.]+) ?([a-z]+)$/.exec(String(duration)) ?? [];
  const factor = units.find(([pattern]) => unit !== undefined && pattern.test(unit))?.[1];
  const ms = typeof duration === 'number' ? duration : Number(count) * (factor ?? Number.NaN);
  if (Number.isFinite(ms) && ms >= 0) return ms;
  throw new MelangeError(
    'CONFIGURATION',
    `"${duration}" is no duration: say 1500, '90s', '10 minutes', '1h' or '2d'.`,
  );
}
