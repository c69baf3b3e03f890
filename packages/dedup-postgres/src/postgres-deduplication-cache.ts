import { randomUUID } from 'node:crypto';
import {
  type Claim,
  type ClaimToken,
  type DeduplicationCache,
  type Health,
  MelangeError,
} from '@melange/core';
import { thrownText } from '@melange/core/adapter';
import { migrate, type PostgresConnection, quoteIdentifier, type SqlExecutor } from '@melange/postgres';
import { type Answer, type Operation, Operations } from './operations.ts';
import type { PostgresDeduplicationCacheOptions } from './postgres-deduplication-cache-options.ts';
import { migrations } from './tables.ts';

const defaultTtlMs = 15 * 24 * 60 * 60 * 1_000;
const cleanEveryMs = 60_000;
const cleanedAtOnce = 1_000;

/**
 * Remembers in Postgres which consumer has processed which message. Together with `inTransaction`, the confirm is committed in the
 * transaction of the effect: the effect happens exactly once, whatever crashes.
 */
export class PostgresDeduplicationCache implements DeduplicationCache, AsyncDisposable {
  readonly #connection: PostgresConnection;
  readonly #schema: string;
  readonly #prefix: string;
  readonly #ttlMs: number;
  readonly #operations: Operations;
  /** Of claims of this process, until they are confirmed or released. */
  readonly #tokens = new Map<string, ClaimToken>();
  #preparing: Promise<void> | undefined;
  #closing: Promise<void> | undefined;
  #cleaning: NodeJS.Timeout | undefined;

  /** @throws MelangeError `CONFIGURATION` for settings that make no sense. */
  constructor(options: PostgresDeduplicationCacheOptions) {
    const {
      connection,
      schema = 'melange',
      namespace = 'default',
      ttlMs = defaultTtlMs,
      timeoutMs = 4_000,
    } = options;
    if (namespace.includes(':'))
      throw new MelangeError('CONFIGURATION', `The namespace "${namespace}" must be without colons.`);
    this.#connection = connection;
    this.#schema = schema;
    this.#prefix = `${namespace}:`;
    this.#ttlMs = milliseconds('ttlMs', ttlMs);
    this.#operations = new Operations(connection, schema, milliseconds('timeoutMs', timeoutMs));
  }

  async claim(key: string, { leaseMs }: { readonly leaseMs: number }): Promise<Claim> {
    const token = { key, fence: randomUUID() };
    const { answer, remainingMs } = await this.#run(
      'claim',
      token,
      milliseconds('leaseMs', leaseMs),
      (late) => {
        // Nobody knows of it: the message would wait for its lease to end.
        if (late.answer === 'claimed') void this.release(token).catch(() => undefined);
      },
    );
    if (answer === 'claimed') {
      this.#tokens.set(key, token);
      return { status: 'claimed', token };
    }
    return { status: answer === 'done' ? 'done' : 'held', ...(remainingMs !== null && { remainingMs }) };
  }

  async extend(token: ClaimToken, { leaseMs }: { readonly leaseMs: number }): Promise<boolean> {
    return (await this.#run('extend', token, milliseconds('leaseMs', leaseMs))).answer === 'yes';
  }

  async confirm(token: ClaimToken): Promise<boolean> {
    const { answer } = await this.#run('confirm', token, this.#ttlMs);
    this.#forget(token);
    return answer === 'yes';
  }

  async release(token: ClaimToken): Promise<void> {
    this.#forget(token);
    await this.#run('release', token, 0);
  }

  /** The claim of this process on a key; `undefined` when it has none. For `inTransaction`. */
  claimOf(key: string): ClaimToken | undefined {
    return this.#tokens.get(key);
  }

  /**
   * As `confirm`, in a transaction of the caller: the key is done when that commits, and the row is locked until then. False when the
   * claim is no longer this token's: roll back.
   */
  async confirmWithin(transaction: SqlExecutor, token: ClaimToken): Promise<boolean> {
    const { rows } = await transaction.execute(
      `with confirmed as (
         update ${quoteIdentifier(this.#schema)}.deduplication
         set is_done = true, expires_at = clock_timestamp() + $3::text::double precision * interval '1 ms'
         where key = $1 and fence = $2 and not is_done returning 1
       ) select count(*)::integer as confirmed from confirmed`,
      [this.#prefix + token.key, token.fence, String(this.#ttlMs)],
    );
    return Number(rows[0]?.confirmed) === 1;
  }

  async health(): Promise<Health> {
    if (this.#closing !== undefined) return { status: 'unhealthy', detail: 'the Postgres cache is closed' };
    const probe = { key: `health:${randomUUID()}`, fence: 'probe' };
    try {
      await this.#run('claim', probe, 1_000);
      await this.#run('release', probe, 0);
      return { status: 'healthy' };
    } catch (error) {
      return { status: 'unhealthy', detail: thrownText(error) };
    }
  }

  /** Lets calls under way finish. The connection stays open. Idempotent. */
  close(): Promise<void> {
    clearInterval(this.#cleaning);
    this.#closing ??= this.#operations.drain();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #forget({ key, fence }: ClaimToken): void {
    if (this.#tokens.get(key)?.fence === fence) this.#tokens.delete(key);
  }

  async #run(
    name: Operation['name'],
    { key, fence }: ClaimToken,
    ms: number,
    onLate?: (answer: Answer) => void,
  ): Promise<Answer> {
    if (this.#closing !== undefined)
      throw new MelangeError('CLOSED', 'The deduplication cache is closed: close the dispatcher first.');
    await this.#prepared();
    return this.#operations.run({ name, key: this.#prefix + key, fence, ms }, onLate);
  }

  #prepared(): Promise<void> | undefined {
    if (this.#cleaning !== undefined) return undefined;
    this.#preparing ??= migrate(this.#connection, {
      component: 'deduplication',
      migrations,
      schema: this.#schema,
    }).then(
      () => {
        this.#cleaning = setInterval(() => void this.#clean(), cleanEveryMs).unref();
      },
      (error: unknown) => {
        this.#preparing = undefined;
        if (MelangeError.is(error, 'CONFIGURATION')) throw error;
        throw new MelangeError(
          'CACHE_UNAVAILABLE',
          `The deduplication cache cannot use Postgres: ${thrownText(error)}`,
          {
            cause: error,
          },
        );
      },
    );
    return this.#preparing;
  }

  /** Keys whose time is over: nobody needs them any more. Those that another process cleans are left to it. */
  async #clean(): Promise<void> {
    const table = `${quoteIdentifier(this.#schema)}.deduplication`;
    const sql = `delete from ${table} where key in (
      select key from ${table} where expires_at < clock_timestamp() order by expires_at limit ${cleanedAtOnce} for update skip locked)`;
    try {
      while ((await this.#connection.execute(sql, [])).rowCount === cleanedAtOnce);
    } catch {
      // The next call of the cache says what is wrong; the keys are deleted the next time.
    }
  }
}

function milliseconds(name: string, value: number): number {
  if (value > 0 && value <= Number.MAX_SAFE_INTEGER) return value;
  throw new MelangeError('CONFIGURATION', `${name} must be above 0 and finite, not ${value}.`);
}
