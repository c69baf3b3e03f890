import type { Logger } from '@melange/core';
import { checkDelayMs, unfailingLogger } from '@melange/core/adapter';

/** How events are handled. */
export interface LambdaHandlerOptions {
  /**
   * Part of the function's timeout that is kept, in ms, to tell the broker what became of the messages and to answer
   * Lambda: when it begins, handlers' signals are aborted and nothing is started any more; in its middle, handlers that
   * still run are given up. Of a short invocation at most half is kept. Default: 1,000.
   */
  readonly reserveMs?: number;
  /**
   * Whether the event source mapping has `ReportBatchItemFailures`. Without it Lambda takes any response for success of
   * the whole batch: `false` fails the invocation instead, so that the whole batch comes again. Default: true.
   */
  readonly reportBatchItemFailures?: boolean;
  /** Told when messages are given back because the time was up. Default: warnings and errors to standard error. */
  readonly logger?: Logger;
}

/** The options, checked, with their defaults. */
export interface HandlerSettings {
  readonly reserveMs: number;
  readonly reportBatchItemFailures: boolean;
  readonly logger: Logger;
}

/** @throws MelangeError `CONFIGURATION` for a number that makes no sense. */
export function settingsOf(options: LambdaHandlerOptions): HandlerSettings {
  const { reserveMs = 1_000, reportBatchItemFailures = true, logger } = options;
  checkDelayMs('reserveMs', reserveMs);
  return { reserveMs, reportBatchItemFailures, logger: unfailingLogger(logger) };
}
