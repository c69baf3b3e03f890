/** A mutant that no test can notice, because nothing is otherwise with it. */
export interface Equivalent {
  readonly source: string;
  /** The line of the source, without its indentation. */
  readonly line: string;
  /** What stands in place of a part of the line. */
  readonly replacement: string;
  readonly reason: string;
}

/** Mutants that count neither as killed nor as survived. */
export const equivalents: readonly Equivalent[] = [];
