import { parseArgs } from 'node:util';

/** What to measure. */
export interface BenchmarkOptions {
  /** Names of tables. */
  readonly tables: readonly string[];
  readonly rounds: number;
  /** Share of each table's messages. Below 1 the run is a trial: nothing is written to `docs`. */
  readonly scale: number;
  /** Prints data in place of tables. */
  readonly isJson: boolean;
  /** Directory for CPU and heap profiles of every process. Such a run is a trial too. */
  readonly profileTo: string | undefined;
}

/** A flag or a table that cannot be used: its message is the one line that the user sees. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/**
 * @param known names of all tables, which are also the default.
 * @throws UsageError
 */
export function readArguments(parameters: readonly string[], known: readonly string[]): BenchmarkOptions {
  const { values, positionals } = parse(parameters);
  for (const name of positionals) {
    if (known.includes(name)) continue;
    throw new UsageError(`there is no table "${name}"; there are ${known.join(', ')}`);
  }
  const rounds = Number(values.rounds ?? '5');
  if (!Number.isInteger(rounds) || rounds < 1)
    throw new UsageError(`--rounds must be a whole number above 0, not "${values.rounds}"`);
  const scale = Number(values.scale ?? '1');
  if (!(scale > 0 && scale <= 1))
    throw new UsageError(`--scale must be above 0 and at most 1, not "${values.scale}"`);
  return {
    tables: positionals.length === 0 ? known : [...new Set(positionals)],
    rounds,
    scale,
    isJson: values.json === true,
    profileTo: values.profile,
  };
}

function parse(parameters: readonly string[]) {
  try {
    return parseArgs({
      args: [...parameters],
      allowPositionals: true,
      options: {
        rounds: { type: 'string' },
        scale: { type: 'string' },
        json: { type: 'boolean' },
        profile: { type: 'string' },
      },
    });
  } catch (error) {
    throw new UsageError((error as Error).message.split('. ')[0]);
  }
}
