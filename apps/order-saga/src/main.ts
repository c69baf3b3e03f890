import { MelangeError } from '@melange/core';
import { type RunOptions, readArguments, UsageError } from './arguments.ts';
import { type OpenBackends, openBackends } from './backends.ts';
import { watchOutages } from './outages.ts';
import { complaint, startProgress, table } from './report.ts';
import { runService, runSystem } from './system.ts';

const closesWithinMs = 1_000;

process.exitCode = await main(process.argv.slice(2));

/** 0: every order is accounted for; 1: some are not, or the run was stopped; 2: it could not run. */
async function main(parameters: readonly string[]): Promise<number> {
  try {
    const options = readArguments(parameters, process.env);
    const open = await openBackends(options, console.log);
    const stopped = stopSignal();
    let status: number;
    try {
      const { service } = options;
      const runsAll = service === undefined || service === 'orders';
      status = await (runsAll ? runAll(options, open, stopped) : runOne(service, options, open, stopped));
    } finally {
      await open.close(stopped.aborted ? closesWithinMs : undefined);
    }
    // A stopped system does not wait for connections to a broker that is away.
    return stopped.aborted ? process.exit(status) : status;
  } catch (error) {
    if (!(error instanceof UsageError || MelangeError.is(error))) throw error;
    console.error(`order-saga: ${error.message}`);
    return 2;
  }
}

async function runAll(
  options: RunOptions,
  { backends, byName }: OpenBackends,
  stopped: AbortSignal,
): Promise<number> {
  const { orders, payments, saga } = options.backends;
  console.log(`orders on ${orders}, payments on ${payments}, saga on ${saga}: ${options.orders} orders`);
  const progress = startProgress(options.orders);
  const endWatch = watchOutages(byName, progress.say);
  const report = await runSystem(options, backends, progress.update, stopped).finally(() => {
    endWatch();
    progress.done();
  });
  console.log(table(report));
  const wrong = complaint(report);
  if (wrong === undefined) return 0;
  console.error(`order-saga: ${wrong}`);
  return 1;
}

async function runOne(
  service: 'payments' | 'saga',
  options: RunOptions,
  { backends, byName }: OpenBackends,
  stopped: AbortSignal,
): Promise<number> {
  console.log('running; stop with SIGTERM or SIGINT');
  const endWatch = watchOutages(byName, console.log);
  const counters = await runService(service, options, backends, stopped).finally(endWatch);
  console.log(`${service}: ${JSON.stringify(counters)}`);
  return 0;
}

/** Aborted at the first SIGINT or SIGTERM; another one, a second later or more, ends the process at once. */
function stopSignal(): AbortSignal {
  const controller = new AbortController();
  let insistsFrom = Number.POSITIVE_INFINITY;
  const onSignal = (): void => {
    // A terminal's Ctrl-C comes more than once: from the terminal, and passed on by pnpm and tsx.
    if (performance.now() > insistsFrom) process.exit(1);
    if (controller.signal.aborted) return;
    insistsFrom = performance.now() + 1_000;
    controller.abort();
  };
  // Not `once`: the spinner's own listener ends the process where it finds no other.
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  return controller.signal;
}
