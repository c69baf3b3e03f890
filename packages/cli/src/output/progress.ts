import type { Output } from './output.ts';

/** How far something is. */
export interface Step {
  readonly done: number;
  /** Undefined where nobody knows. */
  readonly total: number | undefined;
  readonly failed: number;
}

const onTerminalMs = 100;
const inPipeMs = 5_000;
const barWidth = 24;

/** Shows how far something is: a bar on a terminal, a plain line every few seconds elsewhere. */
export class Progress {
  readonly #output: Output;
  readonly #verb: string;
  #shownAt = Number.NEGATIVE_INFINITY;
  #isBarShown = false;

  /** @param verb what is being done: `moved`. */
  constructor(output: Output, verb: string) {
    this.#output = output;
    this.#verb = verb;
    if (!output.isErrorTerminal) this.#shownAt = performance.now();
  }

  show(step: Step): void {
    const now = performance.now();
    if (now - this.#shownAt < (this.#output.isErrorTerminal ? onTerminalMs : inPipeMs)) return;
    this.#shownAt = now;
    if (this.#output.isErrorTerminal) {
      this.#isBarShown = true;
      this.#output.status(`${bar(step)}${this.#text(step)}`);
    } else this.#output.note(this.#text(step));
  }

  /** The bar leaves the terminal. */
  end(): void {
    if (this.#isBarShown) this.#output.status('');
    this.#isBarShown = false;
  }

  #text({ done, total, failed }: Step): string {
    return `${this.#verb} ${done}${total === undefined ? '' : ` of ${total}`}${failed > 0 ? `, ${failed} failed` : ''}`;
  }
}

function bar({ done, total }: Step): string {
  if (total === undefined || total === 0) return '';
  const full = Math.min(barWidth, Math.round((done / total) * barWidth));
  return `[${'#'.repeat(full)}${'.'.repeat(barWidth - full)}] `;
}
