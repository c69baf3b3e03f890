/** What is used of a pool of `pg`: pass a `pg.Pool`. */
export interface ClientPool {
  /** How it connects; the connection that listens does it alike. */
  readonly options: object;
  /** A client of it. */
  connect(): Promise<unknown>;
  /** Ends it. */
  end(): Promise<void>;
}

/** Answer of a PGlite. */
export interface EmbeddedAnswer {
  /** Rows, by names of columns. */
  readonly rows: unknown[];
  /** Columns; none where the statement returns no rows. */
  readonly fields: readonly unknown[];
  /** Rows that were changed. */
  readonly affectedRows?: number;
}

/** What executes statements in a PGlite: itself, or a transaction of it. */
export interface EmbeddedExecutor {
  /** Executes one statement. */
  query(
    sql: string,
    parameters?: unknown[],
    options?: { parsers?: Record<number, (text: string) => unknown> },
  ): Promise<EmbeddedAnswer>;
  /** Executes several. */
  exec(
    sql: string,
    options?: { parsers?: Record<number, (text: string) => unknown> },
  ): Promise<EmbeddedAnswer[]>;
}

/** What is used of a PGlite: pass a `PGlite` of `@electric-sql/pglite`. */
export interface EmbeddedPostgres extends EmbeddedExecutor {
  /** Its folder. */
  readonly dataDir?: string | undefined;
  /** Executes in a transaction. */
  transaction<Result>(work: (transaction: EmbeddedExecutor) => Promise<Result>): Promise<Result>;
  /** Calls back for notifications. */
  listen(channel: string, callback: (payload: string) => void): Promise<() => Promise<void>>;
  /** Closes it. */
  close(): Promise<void>;
}
