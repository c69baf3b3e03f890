import type { Logger } from '@melange/core';
import { allFacts, type Facts, type MoreFacts } from './facts.ts';

/** What is used of pino's logger, and of others that take the facts first, such as Fastify's `request.log`. */
export interface Pino {
  /** Writes to follow a single message. */
  debug(facts: object, message: string): void;
  /** Writes what happens in the ordinary course. */
  info(facts: object, message: string): void;
  /** Writes what is recovered from. */
  warn(facts: object, message: string): void;
  /** Writes what needs attention. */
  error(facts: object, message: string): void;
}

/** How lines go to pino. */
export interface PinoLoggerOptions {
  /** Further facts of each line. Default: none. */
  readonly facts?: MoreFacts;
}

/** Writes to pino: the facts as properties, an error as `err`, which pino's own serializer makes an object of. */
export function pinoLogger(pino: Pino, { facts: more }: PinoLoggerOptions = {}): Logger {
  const at =
    (level: keyof Pino) =>
    (message: string, facts: Facts = {}): void => {
      const { error, ...others } = allFacts(facts, more);
      pino[level](error === undefined ? others : { ...others, err: error }, message);
    };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}
