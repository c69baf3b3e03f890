/** Where SQL is executed: a connection, or a transaction of it. */
export interface SqlExecutor {
  /**
   * Executes one statement with parameters, or any number without: then the answer is the last one's.
   *
   * Values come as these types from both kinds of server: `int8` as a number (a bigint where a number cannot hold it), `numeric` as a
   * string, `timestamptz` as a `Date`, `json` and `jsonb` parsed, `bytea` as a `Uint8Array`, arrays as arrays.
   *
   * @param sql with `$1`, `$2`, … for the parameters.
   * @throws the client library's error, which `reasonUnavailable` understands.
   */
  execute(sql: string, parameters: readonly unknown[]): Promise<SqlResult>;
}

/** Answer to a statement. */
export interface SqlResult {
  /** Rows, by names of columns. */
  readonly rows: Record<string, unknown>[];
  /** Rows that it returned or changed. */
  readonly rowCount: number;
}
