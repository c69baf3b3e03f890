import { MelangeError } from '@melange/core';
import { type RunOptions, readArguments, UsageError } from './arguments.ts';
import { openBackends } from './backends.ts';
import { startProgress, table } from './report.ts';
import { runService, runSystem } from './system.ts';

process.exitCode = await main(process.argv.slice(2));

/** 0: every order is accounted for; 1: some are not; 2: it could not run. */
async function main(parameters: readonly string[]): Promise<number> {
  try {
    const options = readArguments(parameters);
    const { backends, close } = await openBackends(options, console.log);
    try {
      const { service } = options;
      if (service === undefined || service === 'orders') return await runAll(options, backends);
      const counters = await runService(service, options, backends, untilStopped());
      console.log(`${service}: ${JSON.stringify(counters)}`);
      return 0;
    } finally {
      await close();
    }
  } catch (error) {
    if (!(error instanceof UsageError || MelangeError.is(error, 'BROKER_UNAVAILABLE'))) throw error;
    console.error(`order-saga: ${error.message}`);
    return 2;
  }
}

async function runAll(options: RunOptions, backends: Parameters<typeof runSystem>[1]): Promise<number> {
  const { orders, payments, saga } = options.backends;
  console.log(`orders on ${orders}, payments on ${payments}, saga on ${saga}: ${options.orders} orders`);
  const progress = startProgress(options.orders);
  const report = await runSystem(options, backends, progress.update).finally(() => progress.done());
  console.log(table(report));
  return report.lost === 0 && report.unaccounted === 0 ? 0 : 1;
}

/** Resolves at the first SIGINT or SIGTERM. */
function untilStopped(): Promise<void> {
  return new Promise((resolve) => {
    console.log('running; stop with SIGTERM or SIGINT');
    process.once('SIGTERM', () => resolve());
    process.once('SIGINT', () => resolve());
  });
}
