import { quoteIdentifier, type SqlExecutor } from '@melange/postgres';
import { channelOf } from './names.ts';
import type { NewRow } from './rows.ts';

/** Bounds of one statement: it is one parameter, and one moment of the server's memory. */
const maxRows = 1_000;
const maxCharacters = 4_000_000;

/** How rows get into the outbox of one schema. */
export class RowWriter {
  readonly #sql: string;

  /** @param notifies whether relays are woken when the transaction commits. */
  constructor(schema: string, notifies: boolean) {
    const result = notifies ? `length(pg_notify('${channelOf(schema)}', '')::text)` : '0';
    this.#sql = insertSql(quoteIdentifier(schema), result);
  }

  /** Inserts the rows in order, in statements of bounded size. Resolves with the number that was inserted. */
  async insert(executor: SqlExecutor, rows: readonly NewRow[]): Promise<number> {
    let inserted = 0;
    for (const texts of inChunks(rows)) {
      const { rows: answer } = await executor.execute(this.#sql, [`[${texts.join(',')}]`]);
      inserted += Number(answer[0]?.inserted);
    }
    return inserted;
  }
}

function* inChunks(rows: readonly NewRow[]): Generator<string[]> {
  let texts: string[] = [];
  let characters = 0;
  for (const row of rows) {
    const text = JSON.stringify(row);
    if (texts.length === maxRows || (texts.length > 0 && characters + text.length > maxCharacters)) {
      yield texts;
      texts = [];
      characters = 0;
    }
    texts.push(text);
    characters += text.length;
  }
  if (texts.length > 0) yield texts;
}

/**
 * One parameter, and one of text: the simplest that all client libraries send alike. Times are the server's. A row with a schedule id
 * that is there already changes nothing.
 */
const insertSql = (schema: string, notification: string): string => `
with added as (
  insert into ${schema}.outbox (state, destination, lane, due_at, expires_at, schedule_id, message_id, content, is_text, manifest,
    serializer_id, content_type, key, headers, published_at)
  select case when r."scheduleId" is null and r.due <= clock_timestamp() then 'ready' else 'scheduled' end, r.destination, r.lane,
    r.due, r.due + r."expiresAfterMs" * interval '1 ms', r."scheduleId", r."messageId", decode(r.content, 'base64'), r."isText",
    r.manifest, r."serializerId", r."contentType", r.key, r.headers, r."publishedAt"
  from (
    select *, coalesce(to_timestamp(at / 1000), clock_timestamp() + coalesce("delayMs", 0) * interval '1 ms') as due
    from json_to_recordset($1::text::json) as x(destination text, lane bigint, at double precision, "delayMs" double precision,
      "expiresAfterMs" double precision, "scheduleId" text, "messageId" text, content text, "isText" boolean, manifest text,
      "serializerId" integer, "contentType" text, key text, headers json, "publishedAt" double precision)
  ) r
  on conflict (schedule_id) where schedule_id is not null do nothing
  returning 1
)
select inserted, ${notification} as notified from (select count(*)::integer as inserted from added) a`;
