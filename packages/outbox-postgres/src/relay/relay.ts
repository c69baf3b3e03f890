import { reconnectDelayMs, Troubles } from '@melange/backend-kit';
import { exponentialBackoff, type Health, type Logger, MelangeError, warningLogger } from '@melange/core';
import { checkDelayMs, checkWholeNumber, thrownText, unfailingLogger } from '@melange/core/adapter';
import { migrate } from '@melange/postgres';
import { channelOf, defaultSchema } from '../database/names.ts';
import { migrations } from '../database/tables.ts';
import { RecurringMessages } from '../schedule/recurring.ts';
import { Destinations } from './destinations.ts';
import { type ClaimedRow, type ExchangeAnswer, RelayStore, type RowId } from './exchange.ts';
import { Ledger } from './ledger.ts';
import { measure, type OutboxState } from './measure.ts';
import type { OutboxRelayCounters, OutboxRelayOptions } from './options.ts';
import { publishRows } from './publish-rows.ts';
import { isRefusedByCode } from './refusal.ts';
import { Wake } from './signal.ts';
import { OutboxWatch } from './watch.ts';

/** Rows of one lane that are claimed at once: they are published one after the other, and others want their place. */
const laneLimit = 50;
/** A backend keeps its deadline, more or less. */
const closingMarginMs = 1_000;
const databaseSubject = 'reaching the outbox';

/**
 * Publishes the messages of an outbox, each under its own id, and deletes them when the broker has confirmed them. Any number of
 * relays work on one outbox at once, in one process or many; none leads. When a relay dies, the others have its messages after `leaseMs`.
 *
 * A message is published at least once: again after a crash between the confirmation and its deletion. Messages of one key and one
 * destination are published in the order in which they were written, each after the one before it is confirmed. What cannot be published
 * is tried again for ever, with pauses; what the broker refuses for good is set aside (`RefusedMessages`).
 */
export class OutboxRelay implements AsyncDisposable {
  readonly #options: OutboxRelayOptions;
  readonly #schema: string;
  readonly #maxInFlight: number;
  readonly #batchSize: number;
  readonly #leaseMs: number;
  readonly #pollMs: number;
  readonly #deadlineMs: number;
  readonly #isRefused: NonNullable<OutboxRelayOptions['isRefused']>;
  readonly #logger: Logger;
  readonly #troubles: Troubles;
  readonly #ledger: Ledger;
  readonly #store: RelayStore;
  readonly #watch: OutboxWatch;
  readonly #recurring: RecurringMessages;
  readonly #destinations = new Destinations(() => performance.now());
  readonly #wake = new Wake();
  readonly #underWay = new Set<Promise<void>>();
  #relay: number | undefined;
  #failures = 0;
  #starting: Promise<void> | undefined;
  #running: Promise<void> | undefined;
  #closing: Promise<void> | undefined;
  #isClosing = false;
  #isEnded = false;
  #unlisten: (() => Promise<void>) | undefined;

  /** @throws MelangeError `CONFIGURATION` for numbers that make no sense. */
  constructor(options: OutboxRelayOptions) {
    this.#options = options;
    this.#schema = options.schema ?? defaultSchema;
    this.#maxInFlight = checkWholeNumber('maxInFlight', options.maxInFlight ?? 2_000, 1);
    this.#batchSize = checkWholeNumber('batchSize', options.batchSize ?? 500, 1);
    this.#leaseMs = checkDelayMs('leaseMs', options.leaseMs ?? 10_000, 100);
    this.#pollMs = checkDelayMs('pollMs', options.pollMs ?? 1_000, 1);
    this.#deadlineMs = checkDelayMs('deadlineMs', options.deadlineMs ?? 10_000, 1);
    const backoff =
      options.retry ?? exponentialBackoff({ firstDelayMs: 100, longestDelayMs: 30_000, jitter: 0.5 });
    this.#isRefused = options.isRefused ?? isRefusedByCode;
    this.#logger = unfailingLogger(options.logger ?? warningLogger);
    this.#troubles = new Troubles({ logger: this.#logger });
    this.#ledger = new Ledger(backoff, this.#logger);
    this.#store = new RelayStore(options.connection, this.#schema);
    this.#recurring = new RecurringMessages(options.connection, this.#schema, this.#pollMs, this.#troubles);
    this.#watch = new OutboxWatch(options.connection, this.#schema, {
      maxAgeMs: checkDelayMs('maxAgeMs', options.maxAgeMs ?? 60_000, 1),
      laneLimit,
      logger: this.#logger,
      troubles: this.#troubles,
    });
  }

  /** What this relay has done. */
  get counters(): OutboxRelayCounters {
    return this.#ledger.counters;
  }

  /**
   * Makes the tables where they are missing, and begins to publish.
   *
   * @throws MelangeError `CONFIGURATION` when the tables cannot be made, or are newer than this code; the error of the client library when
   * the database cannot be reached. It may be called again then.
   */
  start(): Promise<void> {
    if (this.#isClosing)
      return Promise.reject(new MelangeError('CLOSED', 'The relay is closed: make a new one.'));
    this.#starting ??= this.#start().catch((error: unknown) => {
      this.#starting = undefined;
      throw error;
    });
    return this.#starting;
  }

  /** What waits in the outbox now. */
  describe(): Promise<OutboxState> {
    return measure(this.#options.connection, this.#schema);
  }

  /**
   * `degraded` while the database or a destination cannot be reached, or a message waits for longer than `maxAgeMs`; `unhealthy` when
   * that lasts for 30 s more, but for a message that waits for itself alone. Never asks the database.
   */
  async health(): Promise<Health> {
    if (this.#isClosing) return { status: 'unhealthy', detail: 'the relay is closed' };
    if (this.#running === undefined) return { status: 'unhealthy', detail: 'the relay was not started' };
    return this.#troubles.health();
  }

  /**
   * Claims nothing more, waits for what is being published, and gives back the rest. Neither connection nor backend is closed.
   * Idempotent.
   */
  close(): Promise<void> {
    this.#isClosing = true;
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #start(): Promise<void> {
    const { connection } = this.#options;
    await migrate(connection, { component: 'outbox', migrations, schema: this.#schema });
    this.#relay = await this.#store.register(this.#relay, [], this.#leaseMs);
    this.#unlisten = await connection.listen(channelOf(this.#schema), () => {
      this.#wake.set();
      this.#recurring.wake();
    });
    this.#running = this.#run();
    this.#watch.start();
    this.#recurring.wake();
  }

  async #close(): Promise<void> {
    await this.#starting?.catch(() => undefined);
    this.#watch.close();
    await this.#recurring.close();
    await this.#unlisten?.();
    await within(this.#deadlineMs + closingMarginMs, Promise.all(this.#underWay));
    this.#isEnded = true;
    this.#wake.set();
    await this.#running;
  }

  async #run(): Promise<void> {
    let waitMs = 0;
    for (;;) {
      if (waitMs > 0) await this.#wake.wait(waitMs);
      const isLast = this.#isEnded;
      try {
        const answer = await this.#exchange();
        waitMs = answer === undefined ? 0 : this.#pauseAfter(answer);
        this.#failures = 0;
        this.#troubles.end(databaseSubject);
      } catch (error) {
        this.#failures += 1;
        this.#troubles.begin(databaseSubject, thrownText(error));
        waitMs = reconnectDelayMs(this.#failures);
      }
      if (isLast && this.#ledger.isTold) break;
      // The database is away: what it was not told is published again by the next relay.
      if (isLast && this.#failures > 0) break;
    }
    if (this.#relay !== undefined)
      await this.#store.register(this.#relay, [], 0).catch((error: unknown) => {
        this.#logger.warn(
          'a relay of the outbox could not give back its messages: they wait for its lease to end',
          { error },
        );
      });
  }

  /** Ms to wait for a notification, or for the outcome of a publish. */
  #pauseAfter({ claimed, parked, nextDueMs }: ExchangeAnswer): number {
    if (this.#isEnded) return 0;
    const mayClaim = !this.#isClosing && this.#ledger.unsettled < this.#maxInFlight;
    if (mayClaim && (claimed.length > 0 || parked > 0)) return 0;
    // A relay is taken for dead when it says nothing for a lease.
    const nextMs = Math.min(this.#pollMs, this.#leaseMs / 3);
    return Math.max(1, Math.min(nextMs, this.#destinations.nextProbeMs, nextDueMs ?? nextMs));
  }

  /** `undefined` when it has to be done again at once. */
  async #exchange(): Promise<ExchangeAnswer | undefined> {
    if (this.#relay === undefined || this.#failures > 0) {
      // Nobody knows what the failed one did: under a new number, only what is in hand here is this relay's.
      this.#relay = await this.#store.register(this.#relay, this.#ledger.held, this.#leaseMs);
    }
    const settlements = this.#ledger.take();
    const excluded = this.#destinations.excluded;
    const probed = this.#isClosing ? [] : this.#destinations.takeProbed();
    const recovered = this.#destinations.takeRecovered();
    let answer: ExchangeAnswer;
    try {
      answer = await this.#store.exchange(this.#relay, {
        ...settlements,
        leaseMs: this.#leaseMs,
        claimLimit: this.#isClosing
          ? 0
          : Math.max(0, Math.min(this.#maxInFlight - this.#ledger.unsettled, 2 * this.#batchSize)),
        destinationLimit: this.#batchSize,
        laneLimit,
        excluded,
        probed,
        recovered,
      });
    } catch (error) {
      this.#ledger.putBack(settlements);
      for (const destination of probed) this.#destinations.probeEnded(destination);
      throw error;
    }
    this.#ledger.told(settlements);
    this.#ledger.skipped(answer.expired);
    if (!answer.isAlive) {
      this.#logger.warn(
        'this relay of the outbox said nothing for longer than its lease: others have its messages now',
        {
          leaseMs: this.#leaseMs,
        },
      );
      this.#relay = await this.#store.register(this.#relay, this.#ledger.held, this.#leaseMs);
      return undefined;
    }
    if (answer.claimed.length > 0) await this.#begin(answer.claimed, probed);
    else for (const destination of probed) this.#destinations.probeEnded(destination);
    return answer;
  }

  async #begin(ids: readonly RowId[], probed: readonly string[]): Promise<void> {
    const rows = await this.#store.read(ids);
    const byDestination = new Map<string, ClaimedRow[]>();
    for (const row of rows) {
      const same = byDestination.get(row.destination);
      if (same === undefined) byDestination.set(row.destination, [row]);
      else same.push(row);
    }
    for (const destination of probed)
      if (!byDestination.has(destination)) this.#destinations.probeEnded(destination);
    this.#ledger.begin(rows);
    for (const [destination, same] of byDestination) {
      const publishing = publishRows(destination, same, {
        backend: this.#options.backend,
        deadlineMs: this.#deadlineMs,
        isRefused: (error, { attempts }) => this.#isRefused(error, attempts + 1),
        mayGoOn: () => !this.#isClosing,
        onOutcome: (row, outcome) => {
          this.#ledger.settle(row, outcome);
          this.#wake.set();
        },
        onCall: (to, failure, isFirstTry) => this.#judge(to, failure, isFirstTry),
      });
      this.#underWay.add(publishing);
      void publishing.finally(() => this.#underWay.delete(publishing));
    }
  }

  #judge(destination: string, failure: unknown, isFirstTry: boolean): void {
    const subject = `publishing to ${destination.replace(':', ' "')}" from the outbox`;
    if (failure === undefined) {
      this.#destinations.worked(destination);
      this.#troubles.end(subject);
      return;
    }
    // A message that fails again says nothing new.
    if (!isFirstTry && !this.#destinations.has(destination)) return;
    if (this.#destinations.failed(destination) > 1) this.#troubles.begin(subject, thrownText(failure));
  }
}

/** Resolves with the promise, or when so much time is over. */
function within(milliseconds: number, promise: Promise<unknown>): Promise<unknown> {
  let timer: NodeJS.Timeout | undefined;
  const over = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, milliseconds);
  });
  return Promise.race([promise, over]).finally(() => clearTimeout(timer));
}
