import type { DeadLetterFilter } from '@melange/dead-letters';
import type { Command } from 'commander';
import { usageError } from '../exit-codes.ts';

/** Options that say which dead letters are meant. */
export interface FilterOptions {
  readonly group?: string;
  readonly id?: readonly string[];
  readonly manifest?: string;
  readonly sourceQueue?: string;
  readonly consumer?: string;
  readonly reason?: string;
  readonly header?: readonly string[];
  readonly from?: string;
  readonly before?: string;
  readonly text?: string;
}

/** Adds them to a command. */
export function addFilterOptions(command: Command): Command {
  return command
    .option('--group <group>', 'failed alike: the group as `dead summarize` tells it')
    .option('--id <id...>', 'ids of messages')
    .option('--manifest <manifest>', 'shape of the content, such as OrderPlaced')
    .option('--source-queue <queue>', 'queue that they failed in')
    .option('--consumer <name>', 'consumer that failed')
    .option('--reason <reason>', 'reason, such as rejected')
    .option('--header <name=value...>', 'headers with exactly these values')
    .option(
      '--from <time>',
      'dead-lettered then or later: a time such as 2026-11-29T02:00Z, or an age such as 2h',
    )
    .option('--before <time>', 'dead-lettered before: a time, or an age')
    .option('--text <text>', 'text in the content, the error or a header');
}

/** The filter. @throws CommandError for an option that makes no sense. */
export function filterOf(options: FilterOptions): DeadLetterFilter {
  const { group, id, manifest, sourceQueue, consumer, reason, header, from, before, text } = options;
  const [since, until] = Object.entries({ from, before }).map(([name, time]) =>
    time === undefined ? undefined : timeOf(`--${name}`, time),
  );
  return {
    ...(group !== undefined && { group }),
    ...(id !== undefined && { ids: id }),
    ...(manifest !== undefined && { manifest }),
    ...(sourceQueue !== undefined && { sourceQueue }),
    ...(consumer !== undefined && { consumer }),
    ...(reason !== undefined && { reason }),
    ...(header !== undefined && { headers: headersOf(header) }),
    ...(since !== undefined && { from: since }),
    ...(until !== undefined && { to: until }),
    ...(text !== undefined && { text }),
  };
}

/** Headers by name. @throws CommandError for one without `=`. */
export function headersOf(pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const end = pair.indexOf('=');
      if (end < 1) throw usageError(`A header is given as name=value, not "${pair}".`);
      return [pair.slice(0, end), pair.slice(end + 1)];
    }),
  );
}

const units: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** A time, or an age such as `2h` before now. @throws CommandError */
export function timeOf(option: string, text: string): Date {
  if (/^\d+(\.\d+)?(ms|s|m|h|d)$/.test(text)) return new Date(Date.now() - durationOf(option, text));
  const time = new Date(text);
  if (Number.isNaN(time.getTime()))
    throw usageError(
      `${option} must be a time such as 2026-11-29T02:00Z, or an age such as 2h, not "${text}".`,
    );
  return time;
}

/** A duration such as `90s`, in ms. @throws CommandError */
export function durationOf(option: string, text: string): number {
  const [, amount, unit = ''] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text) ?? [];
  if (amount === undefined)
    throw usageError(`${option} must be a duration such as 90s or 5m, not "${text}".`);
  return Number(amount) * (units[unit] as number);
}
