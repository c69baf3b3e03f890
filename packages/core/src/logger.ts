/**
 * Where Melange writes its log lines: a sentence and its facts. `console` fits, so does a line of glue to
 * any logging library.
 */
export interface Logger {
  /** What helps to follow a single message. */
  debug(message: string, facts?: Readonly<Record<string, unknown>>): void;
  /** What happens in the ordinary course. */
  info(message: string, facts?: Readonly<Record<string, unknown>>): void;
  /** What Melange recovers from by itself. */
  warn(message: string, facts?: Readonly<Record<string, unknown>>): void;
  /** What needs attention. */
  error(message: string, facts?: Readonly<Record<string, unknown>>): void;
}

const ignore = (): void => undefined;

/** The default: warnings and errors go to standard error, for nothing may fail silently. */
export const warningLogger: Logger = {
  debug: ignore,
  info: ignore,
  warn: (message, facts) => console.warn(`melange: ${message}`, facts ?? ''),
  error: (message, facts) => console.error(`melange: ${message}`, facts ?? ''),
};

/** Writes nothing: for tests that expect errors. */
export const silentLogger: Logger = { debug: ignore, info: ignore, warn: ignore, error: ignore };

/**
 * The logger, in a form that never throws: what it fails at goes to standard error where it matters. For adapters, whose
 * timers and loops must outlive it. Default: `warningLogger`.
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
