import { readArguments, UsageError } from './arguments.ts';
import { MissingBrokerError } from './brokers.ts';
import { tables } from './tables/index.ts';

process.exitCode = await main(process.argv.slice(2));

/** 0: measured; 2: a bad flag, or no broker. A goal that is not met is a result, no failure. */
async function main(parameters: readonly string[]): Promise<number> {
  try {
    const options = readArguments(
      parameters,
      tables.map(({ name }) => name),
    );
    // Only now, for it is large: a bad flag is answered at once.
    const { runBenchmark } = await import('./benchmark.ts');
    await runBenchmark(options, tables);
    return 0;
  } catch (error) {
    if (!(error instanceof UsageError || error instanceof MissingBrokerError)) throw error;
    console.error(`bench: ${error.message}`);
    return 2;
  }
}
