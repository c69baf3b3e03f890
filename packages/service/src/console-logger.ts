import { type Logger, warningLogger } from '@melange/core';

/** The default: what happens goes to standard output under the service's name, warnings and errors to standard error. */
export function consoleLogger(name: string): Logger {
  return {
    ...warningLogger,
    info: (message, facts) => console.info(`${name}: ${message}`, ...(facts === undefined ? [] : [facts])),
  };
}
