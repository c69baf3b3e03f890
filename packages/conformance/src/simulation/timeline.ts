import type { RunResult } from './run.ts';

/** A run as a person reads it: what was planned, what happened when, and what broke. */
export function timelineText({ plan, violations, timeline }: RunResult): string {
  const { messages, faults, seed, ...settings } = plan;
  const setting = Object.entries(settings).map(([name, value]) => `${name} ${String(value)}`);
  const broken = violations.map(({ message }) => `  broken: ${message}`);
  return [
    `seed ${seed}: ${messages.length} messages, ${faults.length} faults`,
    `  ${setting.join(', ')}`,
    ...messages.map(
      ({ at, key, behaviour }, place) =>
        `  m${place}: ${behaviour}, published at ${at} ms${key === undefined ? '' : ` with ${key}`}`,
    ),
    ...timeline.map(({ at, who, what }) => `${String(at).padStart(9)} ms  ${who}: ${what}`),
    ...(broken.length === 0 ? ['  no invariant broke'] : broken),
  ].join('\n');
}
