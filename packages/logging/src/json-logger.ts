import type { Logger } from '@melange/core';
import { allFacts, type Facts, type MoreFacts } from './facts.ts';
import { jsonText } from './json-text.ts';

/** From what is written to follow a single message, to what needs attention. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

const severity: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 };

/** How lines of JSON are written. */
export interface JsonLoggerOptions {
  /** The lowest level that is written. Default: `info`. */
  readonly level?: LogLevel;
  /** Further facts of each line. Default: none. */
  readonly facts?: MoreFacts;
  /** Takes each line, without its end. Default: to standard output. */
  readonly write?: (line: string, level: LogLevel) => void;
}

/**
 * Writes each line as one JSON object: `time`, `level` and `message`, and the facts, such as `queue`, `messageId`, `correlationId`
 * and `attempt`. An error is an object with `name`, `message`, `stack`, and `code` and `cause` where it has them. Never throws
 * for what it is told to write.
 */
export function jsonLogger(options: JsonLoggerOptions = {}): Logger {
  const { level: lowest = 'info', facts: more, write = (line) => console.log(line) } = options;
  const at =
    (level: LogLevel) =>
    (message: string, facts: Facts = {}): void => {
      if (severity[level] < severity[lowest]) return;
      const head = { time: new Date().toISOString(), level, message };
      // The facts may be anything: none takes the place of what each line has.
      write(jsonText({ ...head, ...allFacts(facts, more), ...head }), level);
    };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}
