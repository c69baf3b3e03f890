import {
  type Clock,
  type EnvelopeOptions,
  type IdSource,
  MelangeError,
  type Message,
  type Publishable,
  QueuePublisher,
  type SerializerRegistry,
} from '@melange/core';
import { checkDelayMs } from '@melange/core/adapter';
import { quoteIdentifier, type SqlExecutor } from '@melange/postgres';
import { outboxCapabilities } from '../capabilities.ts';
import type { RowWriter } from '../database/insert.ts';
import { channelOf } from '../database/names.ts';
import { checkText, type Due, type NewRow, rowOf } from '../database/rows.ts';
import { nextTime } from './next-time.ts';

/** From when on a time counts as missed. */
export const missedAfterMs = 60_000;

/** Options of a message that is published once, later. */
export interface ScheduleOptions extends EnvelopeOptions {
  /** Name of the schedule, to cancel it. One that is there already stays as it is. Default: the id of the message. */
  readonly scheduleId?: string;
  /** What becomes of it when no relay ran at its time, nor within a minute after it. Default: `publish`. */
  readonly ifMissed?: 'publish' | 'skip';
}

/** Options of a message that is published again and again. */
export interface RecurringOptions extends Omit<EnvelopeOptions, 'id' | 'causedBy'> {
  /** Name of the schedule, the same at each start of the process: it is the same schedule then. */
  readonly scheduleId: string;
  /** Time zone of the expression, such as `Europe/Berlin`. Default: `UTC`. */
  readonly timeZone?: string;
  /** What becomes of times that passed by more than a minute while no relay ran: one message for all of them, or none. Default: `once`. */
  readonly missed?: 'once' | 'skip';
}

/** Messages that are published to a queue at their time, whatever the broker can delay. */
export interface Schedules {
  /** Publishes once, at a time of the server's clock. Resolves with the id of the schedule. */
  at<Value>(time: Date, queue: string, value: Publishable<Value>, options?: ScheduleOptions): Promise<string>;
  /** Publishes once, so many ms from now. Resolves with the id of the schedule. */
  after<Value>(
    delayMs: number,
    queue: string,
    value: Publishable<Value>,
    options?: ScheduleOptions,
  ): Promise<string>;
  /**
   * Publishes at each time of a cron expression (five fields, or six with seconds in front), once for all relays. Each message has
   * an id of its own, made of the schedule and the time, and the time in the header `scheduledFor`. A schedule of that id is replaced; its next
   * time stays unless the expression or the time zone is another one.
   *
   * @throws MelangeError `CONFIGURATION` for an expression or a time zone that is none.
   */
  every<Value>(
    cron: string,
    queue: string,
    value: Publishable<Value>,
    options: RecurringOptions,
  ): Promise<string>;
  /** Ends a schedule. False when there is none, or its message is being published. */
  cancel(scheduleId: string): Promise<boolean>;
}

/** What schedules are made of. */
export interface SchedulesParts {
  readonly writer: RowWriter;
  readonly schema: string;
  readonly transaction: SqlExecutor;
  readonly serializers: SerializerRegistry;
  readonly clock: Clock;
  readonly ids: IdSource;
}

/** The schedules of one transaction. */
export function schedulesOf(parts: SchedulesParts): Schedules {
  const schema = quoteIdentifier(parts.schema);
  const once = async (
    due: Due,
    queue: string,
    value: unknown,
    { scheduleId, ifMissed = 'publish', ...envelope }: ScheduleOptions = {},
  ): Promise<string> => {
    const row = await sealed(parts, queue, value, envelope);
    const id = scheduleId ?? row.messageId;
    checkText('schedule id', id);
    const expiry = ifMissed === 'skip' ? { expiresAfterMs: missedAfterMs } : {};
    await parts.writer.insert(parts.transaction, [{ ...row, ...due, ...expiry, scheduleId: id }]);
    return id;
  };
  return {
    at: async (time, queue, value, options) => {
      if (Number.isNaN(time.getTime()))
        throw new MelangeError('CONFIGURATION', 'The time of the schedule is an invalid Date.');
      return once({ at: time.getTime() }, queue, value, options);
    },
    after: async (delayMs, queue, value, options) =>
      once({ delayMs: checkDelayMs('delayMs', delayMs) }, queue, value, options),
    async every(cron, queue, value, { scheduleId, timeZone = 'UTC', missed = 'once', ...envelope }) {
      checkText('schedule id', scheduleId);
      nextTime(cron, timeZone, 0);
      const row = await sealed(parts, queue, value, envelope);
      const { rows } = await parts.transaction.execute(
        'select (extract(epoch from clock_timestamp()) * 1000)::float8 as now',
        [],
      );
      const now = Number(rows[0]?.now);
      const next = nextTime(cron, timeZone, now);
      if (next === Number.POSITIVE_INFINITY)
        throw new MelangeError(
          'CONFIGURATION',
          `"${cron}" in the time zone "${timeZone}" has no time after ${new Date(now).toISOString()}.`,
        );
      await parts.transaction.execute(
        `with given as (
           select * from json_to_record($1::text::json) as x(id text, cron text, "timeZone" text, missed text, next double precision,
             destination text, lane bigint, content text, "isText" boolean, manifest text, "serializerId" integer, "contentType" text,
             key text, headers json)
         ), kept as (
           insert into ${schema}.outbox_recurring as r (id, cron, time_zone, missed, next_at, destination, lane, content, is_text, manifest,
             serializer_id, content_type, key, headers)
           select id, cron, "timeZone", missed, to_timestamp(next / 1000), destination, lane, decode(content, 'base64'), "isText", manifest,
             "serializerId", "contentType", key, headers from given
           on conflict (id) do update set cron = excluded.cron, time_zone = excluded.time_zone, missed = excluded.missed,
             next_at = case when r.cron = excluded.cron and r.time_zone = excluded.time_zone then r.next_at else excluded.next_at end,
             destination = excluded.destination, lane = excluded.lane, content = excluded.content, is_text = excluded.is_text,
             manifest = excluded.manifest, serializer_id = excluded.serializer_id, content_type = excluded.content_type,
             key = excluded.key, headers = excluded.headers
           returning 1
         )
         select length(pg_notify('${channelOf(parts.schema)}', '')::text) as notified from kept`,
        [JSON.stringify({ ...row, id: scheduleId, cron, timeZone, missed, next })],
      );
      return scheduleId;
    },
    async cancel(scheduleId) {
      const { rows } = await parts.transaction.execute(
        `with one as (delete from ${schema}.outbox where schedule_id = $1 and state = 'scheduled' returning 1),
           many as (delete from ${schema}.outbox_recurring where id = $1 returning 1)
         select (select count(*) from one)::integer + (select count(*) from many)::integer as cancelled`,
        [scheduleId],
      );
      return Number(rows[0]?.cancelled) > 0;
    },
  };
}

/** The row of a message, sealed as a publisher does it. */
async function sealed(
  { serializers, clock, ids }: SchedulesParts,
  queue: string,
  value: unknown,
  envelope: EnvelopeOptions,
): Promise<NewRow> {
  let row: NewRow | undefined;
  const keep = async (name: string, messages: readonly Message[]): Promise<void> => {
    row = rowOf('queue', name, messages[0] as Message);
  };
  const backend = {
    name: 'outbox',
    capabilities: outboxCapabilities,
    publishToQueue: keep,
    publishToTopic: keep,
  };
  await new QueuePublisher({ backend, serializers, clock, ids }).publish<unknown>(queue, value, envelope);
  return row as NewRow;
}
