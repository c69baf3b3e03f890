import type { Logger } from '@melange/core';
import { Collected } from './promises.ts';

/** A line that was logged. */
export interface Line {
  readonly level: keyof Logger;
  readonly message: string;
  readonly facts: Readonly<Record<string, unknown>> | undefined;
}

/** A logger that keeps its lines. */
export class RecordingLogger implements Logger {
  readonly lines: Collected<Line> = new Collected();
  debug(message: string, facts?: Readonly<Record<string, unknown>>): void {
    this.lines.push({ level: 'debug', message, facts });
  }
  info(message: string, facts?: Readonly<Record<string, unknown>>): void {
    this.lines.push({ level: 'info', message, facts });
  }
  warn(message: string, facts?: Readonly<Record<string, unknown>>): void {
    this.lines.push({ level: 'warn', message, facts });
  }
  error(message: string, facts?: Readonly<Record<string, unknown>>): void {
    this.lines.push({ level: 'error', message, facts });
  }
}
