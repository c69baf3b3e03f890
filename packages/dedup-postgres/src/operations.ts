import { MelangeError } from '@melange/core';
import { thrownText } from '@melange/core/adapter';
import { type PostgresConnection, quoteIdentifier } from '@melange/postgres';

/** One thing that is done to a key. */
export interface Operation {
  readonly name: 'claim' | 'extend' | 'confirm' | 'release';
  readonly key: string;
  readonly fence: string;
  /** Lease of a claim or an extension, lifetime of a confirmed key. */
  readonly ms: number;
}

/** What came of it. */
export interface Answer {
  readonly answer: 'claimed' | 'done' | 'held' | 'yes' | 'no';
  readonly remainingMs: number | null;
}

interface Pending extends Operation {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: MelangeError) => void;
}

/** Bound of one statement: its rows are locked until all are done. */
const maxOperations = 100;

/** Sends the operations of one turn of the event loop together. */
export class Operations {
  readonly #connection: PostgresConnection;
  readonly #sql: string;
  readonly #timeoutMs: number;
  readonly #underWay = new Set<Promise<void>>();
  #pending: Pending[] = [];

  constructor(connection: PostgresConnection, schema: string, timeoutMs: number) {
    this.#connection = connection;
    this.#sql = `select ${quoteIdentifier(schema)}.deduplicate_1($1::text::json) as answers`;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * @param onLate told of an answer that comes after the operation was given up.
   * @throws MelangeError `CACHE_UNAVAILABLE` when there is no answer in time, or an error.
   */
  run(operation: Operation, onLate: (answer: Answer) => void = () => undefined): Promise<Answer> {
    return new Promise((resolve, reject) => {
      let isOver = false;
      const timer = setTimeout(() => {
        isOver = true;
        reject(unavailable(`no answer within ${this.#timeoutMs} ms`));
      }, this.#timeoutMs);
      if (this.#pending.length === 0) setImmediate(() => this.#flush());
      this.#pending.push({
        ...operation,
        resolve: (answer) => {
          clearTimeout(timer);
          if (isOver) onLate(answer);
          else resolve(answer);
        },
        reject: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      });
    });
  }

  /** Resolves when all that was asked for is settled. */
  async drain(): Promise<void> {
    while (this.#pending.length > 0 || this.#underWay.size > 0) {
      await new Promise((resolve) => setImmediate(resolve));
      await Promise.all(this.#underWay);
    }
  }

  #flush(): void {
    const all = this.#pending;
    this.#pending = [];
    for (let start = 0; start < all.length; start += maxOperations) {
      const sending = this.#send(all.slice(start, start + maxOperations));
      this.#underWay.add(sending);
      void sending.finally(() => this.#underWay.delete(sending));
    }
  }

  /** Never rejects. */
  async #send(batch: readonly Pending[]): Promise<void> {
    const operations = batch.map(({ name, key, fence, ms }, place) => ({ place, name, key, fence, ms }));
    try {
      const { rows } = await this.#connection.execute(this.#sql, [JSON.stringify(operations)]);
      const answers = (rows[0]?.answers ?? []) as (Answer & { readonly place: number })[];
      for (const answer of answers) batch[answer.place]?.resolve(answer);
    } catch (error) {
      for (const { reject } of batch) reject(unavailable(thrownText(error), error));
    }
  }
}

function unavailable(reason: string, cause?: unknown): MelangeError {
  return new MelangeError('CACHE_UNAVAILABLE', `The deduplication cache cannot use Postgres: ${reason}`, {
    cause,
  });
}
