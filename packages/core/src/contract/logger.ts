import { debuglog } from 'node:util';
import { describeThrown, thrownText } from '../errors.ts';

/**
 * Where Melange writes its log lines: a sentence and its facts. `console` fits, so does a line of glue to
 * any logging library.
 */
export interface Logger {
  /** Details for following a single message. */
  debug(message: string, facts?: Readonly<Record<string, unknown>>): void;
  /** Normal events. */
  info(message: string, facts?: Readonly<Record<string, unknown>>): void;
  /** Problems that Melange recovers from by itself. */
  warn(message: string, facts?: Readonly<Record<string, unknown>>): void;
  /** Problems that need attention. */
  error(message: string, facts?: Readonly<Record<string, unknown>>): void;
}

const ignore = (): void => undefined;

/** `NODE_DEBUG=melange` turns it on, as for Node's own modules. */
const debugging = debuglog('melange');

/**
 * The default: warnings and errors go to standard error, one line for each event. With `NODE_DEBUG=melange` in the
 * environment all levels do, and errors are followed by their stacks.
 */
export const warningLogger: Logger = {
  debug: (message, facts) => debugging.enabled && console.error(lineOf(message, facts)),
  info: (message, facts) => debugging.enabled && console.error(lineOf(message, facts)),
  warn: (message, facts) => console.warn(lineOf(message, facts)),
  error: (message, facts) => console.error(lineOf(message, facts)),
};

function lineOf(message: string, facts: Readonly<Record<string, unknown>> = {}): string {
  let line = `melange: ${message}`;
  for (const [name, value] of Object.entries(facts)) {
    if (value !== undefined) line += ` ${name}=${name === 'error' ? errorText(value) : factText(value)}`;
  }
  return debugging.enabled && facts.error instanceof Error ? `${line}\n${facts.error.stack}` : line;
}

function errorText(error: unknown): string {
  const { cause } = describeThrown(error);
  return JSON.stringify(cause === undefined ? thrownText(error) : `${thrownText(error)} < ${cause}`);
}

/** In quotes where a space, quote or equals sign would make it ambiguous. */
function factText(value: unknown): string {
  const text = thrownText(value);
  return /^[^\s"=]+$/.test(text) ? text : JSON.stringify(text);
}

/** Writes nothing: for tests that expect errors. */
export const silentLogger: Logger = { debug: ignore, info: ignore, warn: ignore, error: ignore };

/**
 * A logger that never throws: a line that `logger` throws at goes to `warningLogger` instead. For adapters, whose timers and
 * loops must not end because of a log line.
 *
 * @param logger default: `warningLogger`.
 */
export function unfailingLogger(logger: Logger = warningLogger): Logger {
  const at =
    (level: keyof Logger) =>
    (message: string, facts?: Readonly<Record<string, unknown>>): void => {
      try {
        logger[level](message, facts);
      } catch {
        warningLogger[level](message, facts);
      }
    };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}
