import { inspect } from 'node:util';
import type { Logger } from '@melange/core';
import { Logger as NestLogger } from '@nestjs/common';

/** Writes by the logger of the application, under the name `Melange`; an error's stack where Nest has it. */
export function nestLogger(): Logger {
  const logger = new NestLogger('Melange');
  return {
    debug: (message, facts) => logger.debug(line(message, facts)),
    info: (message, facts) => logger.log(line(message, facts)),
    warn: (message, facts) => logger.warn(line(message, facts)),
    error: (message, { error, ...facts } = {}) => {
      if (error instanceof Error) logger.error(line(`${message}: ${error.message}`, facts), error.stack);
      else logger.error(line(message, error === undefined ? facts : { ...facts, error }));
    },
  };
}

function line(message: string, facts: Readonly<Record<string, unknown>> = {}): string {
  if (Object.keys(facts).length === 0) return message;
  return `${message} ${inspect(facts, { breakLength: Number.POSITIVE_INFINITY, compact: true, depth: 3 })}`;
}
