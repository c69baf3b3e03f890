/**
 * Structured log lines of Melange: `jsonLogger` writes JSON to the console, `pinoLogger` to pino.
 *
 * @packageDocumentation
 */
export { contextLogger } from './context-logger.ts';
export type { MoreFacts } from './facts.ts';
export { type JsonLoggerOptions, jsonLogger, type LogLevel } from './json-logger.ts';
export { type Pino, type PinoLoggerOptions, pinoLogger } from './pino-logger.ts';
