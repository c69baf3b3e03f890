import { constants } from 'node:os';
import type { Logger } from '@melange/core';
import { unfailingLogger } from '@melange/core/adapter';
import { type Endpoints, serveEndpoints } from './endpoints.ts';
import type { AnyService, RunOptions } from './service.ts';
import { summary } from './summary.ts';

const signals = ['SIGTERM', 'SIGINT'] as const;

/** See `AnyService.run`. */
export async function runUntilStopped(
  service: AnyService,
  given: Logger,
  options: RunOptions,
): Promise<void> {
  const logger = unfailingLogger(given);
  const stop = stopRequest(logger, options.signal);
  let endpoints: Endpoints | undefined;
  process.exitCode = 0;
  try {
    logger.info(summary(service.plan, service.backends));
    if (options.port !== undefined) {
      endpoints = await serveEndpoints(service, options.port, options.host, options.metrics);
      logger.info(`GET /live /ready /metrics /queues on port ${endpoints.port}`);
    }
    await started(service, options, stop.signal);
    if (!stop.signal.aborted) {
      logger.info('started');
      await Promise.race([stop.requested, service.ended]);
    }
  } catch (error) {
    process.exitCode = 1;
    logger.error(`ended by an error: ${error instanceof Error ? error.message : String(error)}`, { error });
  }
  await service.stop(options.deadlineMs === undefined ? {} : { deadlineMs: options.deadlineMs });
  // Last: an orchestrator asks until the end whether it is alive.
  await endpoints?.close();
  stop.forget();
  logger.info('stopped');
}

/** A service that is told to stop while it starts does not fail by it. */
async function started(service: AnyService, { failFast }: RunOptions, signal: AbortSignal): Promise<void> {
  try {
    await service.start({ signal, ...(failFast !== undefined && { failFast }) });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

interface StopRequest {
  readonly signal: AbortSignal;
  readonly requested: Promise<void>;
  /** Signals of the process mean again what they meant before. */
  forget(): void;
}

/** The first signal asks to stop, the second one ends the process. */
function stopRequest(logger: Logger, asked: AbortSignal | undefined): StopRequest {
  const controller = new AbortController();
  const { signal } = controller;
  const requested = new Promise<void>((resolve) => {
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
  const onSignal = (name: NodeJS.Signals): void => {
    if (signal.aborted) {
      logger.warn(`${name} again: ends at once; what is not finished comes again`);
      process.exit(128 + constants.signals[name]);
    }
    logger.info(`${name}: stops intake, and finishes what runs; once more ends at once`);
    controller.abort(new Error(name));
  };
  const onAbort = (): void => controller.abort(asked?.reason);
  for (const name of signals) process.on(name, onSignal);
  asked?.addEventListener('abort', onAbort, { once: true });
  if (asked?.aborted === true) onAbort();
  return {
    signal,
    requested,
    forget() {
      for (const name of signals) process.off(name, onSignal);
      asked?.removeEventListener('abort', onAbort);
    },
  };
}
