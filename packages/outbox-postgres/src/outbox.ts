import {
  type Clock,
  type IdSource,
  MelangeError,
  type Message,
  type PublishingBackend,
  type PublishToQueueOptions,
  QueuePublisher,
  type SerializerRegistry,
  systemClock,
  TopicPublisher,
  uuidVersion7Source,
} from '@melange/core';
import type { SqlExecutor } from '@melange/postgres';
import { type OutboxCapabilities, outboxCapabilities } from './capabilities.ts';
import { RowWriter } from './database/insert.ts';
import { type DestinationKind, defaultSchema } from './database/names.ts';
import { rowOf } from './database/rows.ts';
import { type Schedules, schedulesOf } from './schedule/schedules.ts';

/** What an outbox is made of. */
export interface OutboxOptions {
  /** Turns values into content. */
  readonly serializers: SerializerRegistry;
  /** Schema of Melange's tables. Default: `melange`. */
  readonly schema?: string;
  /**
   * Whether a transaction that publishes wakes the relays when it commits. Postgres lets transactions that notify commit one after
   * the other, in the whole server: with thousands of them a second, `false` and a short `pollMs` of the relay cost less. Default: true.
   */
  readonly notify?: boolean;
  /** Time of `publishedAt`. Default: the machine's. */
  readonly clock?: Clock;
  /** Maker of message ids. Default: UUIDv7. */
  readonly ids?: IdSource;
}

/** Publishes inside of one transaction. */
export interface OutboxPublishers {
  /** To queues. `delayMs` counts from the call, whatever the broker can delay; `deadlineMs` has no meaning here. */
  readonly queues: QueuePublisher<OutboxCapabilities>;
  /** To topics. */
  readonly topics: TopicPublisher<OutboxCapabilities>;
  /** To queues, at their time: once, or again and again. */
  readonly schedules: Schedules;
}

/**
 * Writes messages into a table, in the transaction that changes your own data: both are committed, or neither is. An `OutboxRelay`
 * publishes them afterwards, under the same id.
 *
 * The publishers are those of the core: the same validation, serializers, headers, keys, ids and traces. What they reject, they
 * reject before the database is asked, so that the transaction can go on. They only insert, and wait for no other transaction.
 */
export class Outbox {
  readonly #serializers: SerializerRegistry;
  readonly #clock: Clock;
  readonly #ids: IdSource;
  readonly #writer: RowWriter;
  readonly #schema: string;

  constructor({
    serializers,
    schema = defaultSchema,
    notify = true,
    clock = systemClock,
    ids,
  }: OutboxOptions) {
    this.#serializers = serializers;
    this.#clock = clock;
    this.#ids = ids ?? uuidVersion7Source({ clock });
    this.#schema = schema;
    this.#writer = new RowWriter(schema, notify);
  }

  /**
   * The publishers of one transaction. What they resolve with is written, and published once the transaction commits.
   *
   * @param transaction executes in your transaction: `pgExecutor(client)`, `kyselyExecutor(transaction)`, … A `PostgresConnection` is
   * one too: then each call is a transaction of its own.
   */
  within(transaction: SqlExecutor): OutboxPublishers {
    const backend = new OutboxTable(this.#writer, transaction);
    const options = { backend, serializers: this.#serializers, clock: this.#clock, ids: this.#ids };
    const schedules = schedulesOf({
      ...options,
      ...{ writer: this.#writer, schema: this.#schema, transaction },
    });
    return { queues: new QueuePublisher(options), topics: new TopicPublisher(options), schedules };
  }
}

/** The outbox as publishers see it. */
class OutboxTable implements PublishingBackend<OutboxCapabilities> {
  readonly name = 'outbox';
  readonly capabilities = outboxCapabilities;
  readonly #writer: RowWriter;
  readonly #transaction: SqlExecutor;

  constructor(writer: RowWriter, transaction: SqlExecutor) {
    this.#writer = writer;
    this.#transaction = transaction;
  }

  publishToQueue(
    queue: string,
    messages: readonly Message[],
    { delayMs }: PublishToQueueOptions<OutboxCapabilities> = {},
  ): Promise<void> {
    return this.#insert('queue', queue, messages, delayMs);
  }

  publishToTopic(topic: string, messages: readonly Message[]): Promise<void> {
    return this.#insert('topic', topic, messages);
  }

  async #insert(
    kind: DestinationKind,
    name: string,
    messages: readonly Message[],
    delayMs?: number,
  ): Promise<void> {
    if (name === '') throw new MelangeError('MESSAGE_INVALID', `The name of the ${kind} is empty.`);
    const rows = messages.map((message) => rowOf(kind, name, message, { delayMs }));
    await this.#writer.insert(this.#transaction, rows);
  }
}
