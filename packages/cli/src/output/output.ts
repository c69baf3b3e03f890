import { harmless, harmlessJson, harmlessLines } from './harmless.ts';
import type { Secrets } from './secrets.ts';

/** Where text goes. */
export interface Sink {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
}

/** How the command answers. */
export interface OutputSettings {
  readonly out: Sink;
  readonly err: Sink;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly json: boolean;
  readonly secrets: Secrets;
}

/** Kinds of text, by what they mean. */
export type Tone = 'plain' | 'good' | 'bad' | 'warning' | 'faint' | 'bold';

const codes: Readonly<Record<Exclude<Tone, 'plain'>, number>> = {
  good: 32,
  bad: 31,
  warning: 33,
  faint: 2,
  bold: 1,
};

/** The answer to standard output: one JSON document, or text for people. Whatever else is said goes to standard error. */
export class Output {
  readonly json: boolean;
  readonly #settings: OutputSettings;

  constructor(settings: OutputSettings) {
    this.json = settings.json;
    this.#settings = settings;
  }

  /** Whether somebody looks at standard output. */
  get isTerminal(): boolean {
    return this.#settings.out.isTTY === true;
  }

  /** Whether somebody looks at standard error. */
  get isErrorTerminal(): boolean {
    return this.#settings.err.isTTY === true;
  }

  /** The answer as data: where JSON was asked for. Dates are ISO texts. */
  data(value: unknown): void {
    this.#settings.out.write(`${harmlessJson(jsonOf(value, 2))}\n`);
  }

  /** One answer of many, on a line of its own: where JSON was asked for. */
  dataLine(value: unknown): void {
    this.#settings.out.write(`${harmlessJson(jsonOf(value))}\n`);
  }

  /** A line of the answer. What it was given from elsewhere must be harmless already. */
  line(text = ''): void {
    this.#settings.out.write(`${text}\n`);
  }

  /** Text for machines, unchanged: a script, a file's contents. */
  raw(text: string): void {
    this.#settings.out.write(text);
  }

  /** Columns as wide as they must be. Cells are made harmless. */
  table(headings: readonly string[], rows: readonly (readonly string[])[]): void {
    const cells = [headings, ...rows].map((row) => row.map(harmless));
    const widths = headings.map((_, column) => Math.max(...cells.map((row) => (row[column] ?? '').length)));
    for (const [index, row] of cells.entries()) {
      const text = row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd();
      this.line(index === 0 ? this.tone('bold', text) : text);
    }
  }

  /** Something to know beside the answer. */
  note(text: string, tone: Tone = 'plain'): void {
    const safe = harmlessLines(this.#settings.secrets.hide(text));
    this.#settings.err.write(`${this.#toned(tone, safe, this.#settings.err)}\n`);
  }

  /** Text in the colour of its meaning, where somebody looks at standard output and has not refused colours. */
  tone(tone: Tone, text: string): string {
    return this.#toned(tone, text, this.#settings.out);
  }

  /** In place of the last line of standard error, which must be a terminal. */
  status(text: string): void {
    const { err } = this.#settings;
    err.write(`\r\u001b[2K${harmless(text).slice(0, (err.columns ?? 80) - 1)}`);
  }

  /** Empties the screen of standard output, which must be a terminal. */
  clear(): void {
    this.#settings.out.write('\u001b[H\u001b[2J');
  }

  #toned(tone: Tone, text: string, sink: Sink): string {
    const { env } = this.#settings;
    const refused = env.NO_COLOR !== undefined && env.NO_COLOR !== '';
    if (tone === 'plain' || sink.isTTY !== true || refused || env.TERM === 'dumb') return text;
    return `\u001b[${codes[tone]}m${text}\u001b[0m`;
  }
}

/** JSON of any value: large integers as text, bytes as base64. */
export function jsonOf(value: unknown, space?: number): string {
  return (
    JSON.stringify(
      value,
      (_, field: unknown) => {
        if (typeof field === 'bigint') return field.toString();
        if (field instanceof Uint8Array) return Buffer.from(field).toString('base64');
        return field;
      },
      space,
    ) ?? 'null'
  );
}
