/** A statement in pieces: text, and the parameters between them, each as often as the statement names it. */
export interface StatementParts {
  /** One more than parameters. */
  readonly texts: readonly string[];
  readonly parameters: readonly unknown[];
}

/** For libraries that number the parameters themselves. */
export function partsOf(sql: string, parameters: readonly unknown[]): StatementParts {
  const pieces = sql.split(/\$(\d+)/);
  return {
    texts: pieces.filter((_, index) => index % 2 === 0),
    parameters: pieces.filter((_, index) => index % 2 === 1).map((number) => parameters[Number(number) - 1]),
  };
}
