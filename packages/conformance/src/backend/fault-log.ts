import type { Logger } from '@melange/core';

/** A line that a backend logged. */
export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly text: string;
}

/** Keeps what a backend logs. */
export class FaultLog implements Logger {
  /** In order. */
  readonly lines: LogLine[] = [];

  /** Lines that people are to see. */
  get warnings(): readonly string[] {
    return this.lines.filter(({ level }) => level === 'warn' || level === 'error').map(({ text }) => text);
  }

  debug(text: string): void {
    this.#keep('debug', text);
  }

  info(text: string): void {
    this.#keep('info', text);
  }

  warn(text: string): void {
    this.#keep('warn', text);
  }

  error(text: string): void {
    this.#keep('error', text);
  }

  #keep(level: LogLine['level'], text: string): void {
    this.lines.push({ level, text });
  }
}
