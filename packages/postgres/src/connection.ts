import type { SqlExecutor } from './executor.ts';

/** A database. Nothing is connected before the first call. */
export interface PostgresConnection extends SqlExecutor, AsyncDisposable {
  /** Where it is, free of credentials, for messages. */
  readonly address: string;
  /**
   * Resolves with what `work` resolves with when its statements are committed; when it rejects, none of them is. An error of the commit
   * itself that `reasonUnavailable` knows does not tell whether it happened. PGlite has one connection: `execute` of this object waits
   * for the end of the transaction, so `work` must use its executor only.
   *
   * @param work executes one statement after another.
   */
  transaction<Result>(work: (executor: SqlExecutor) => Promise<Result>): Promise<Result>;
  /**
   * Calls back for each notification of the channel, and when some may have been missed, with an empty payload. One connection listens for
   * all channels, and is made again when it is lost. Where the server does not let it listen, or a pooler swallows the
   * notifications (pgbouncer in its transaction mode), that is one warning and nothing comes: the caller must ask for itself besides.
   *
   * @param onNotify must not throw.
   * @returns resolves when it listens, or when it is known that it cannot; with the function that ends it. Never rejects.
   */
  listen(channel: string, onNotify: (payload: string) => void): Promise<() => Promise<void>>;
  /** Whether notifications come: not before the first `listen` has resolved, nor where the server sends none. */
  readonly isListening: boolean;
  /** The server's time, in ms since the epoch. */
  serverTime(): Promise<number>;
  /** Ends the connections that it made. Statements under way are waited for. */
  close(): Promise<void>;
}
