import {
  type Clock,
  type Logger,
  MelangeError,
  type Message,
  type MessagingBackend,
  systemClock,
  warningLogger,
} from '@melange/core';
import { type DeadLetterFilter, matcherOf } from './filter.ts';
import { LeftLetters, removeLeftOver } from './left-over.ts';
import { type DeadLetter, letterOf } from './letter.ts';
import { look } from './look.ts';
import { lineOf, messageOf } from './ndjson.ts';
import { type RedriveOptions, type RedriveResult, redrive } from './redrive.ts';
import { type ScanResult, scan } from './scan.ts';
import { Groups, type Summary } from './summary.ts';

/** What dead letters are looked at with. */
export interface DeadLettersOptions {
  /** Broker of the dead-letter queues and of the queues that their letters go back to. Stays open. */
  readonly backend: MessagingBackend;
  /**
   * Bound of the letters held at once, in memory and unsettled at the broker. Where the broker cannot be browsed, a
   * look holds each letter that stays until it is over, so that none comes twice. Default: 10,000.
   */
  readonly maxHeld?: number;
  /** Told of what needs attention. Default: warnings and errors to standard error. */
  readonly logger?: Logger;
  /** Time of paces and of the end of a redrive. Default: the machine's. */
  readonly clock?: Clock;
}

/** Which letters, and when to stop looking. */
export interface LookOptions {
  /** Which letters. Default: all. */
  readonly filter?: DeadLetterFilter;
  /** Ends the look: what was held is given back. */
  readonly signal?: AbortSignal;
}

/** What is listed. */
export interface ListOptions extends LookOptions {
  /** Most letters of the answer. Default: 100. */
  readonly limit?: number;
}

/** Dead letters of a queue. */
export interface ListResult {
  /** In the queue's order. */
  readonly letters: readonly DeadLetter[];
  /** Letters that were looked at. */
  readonly scanned: number;
  /** Whether the whole queue was looked at; false when the limit was reached, or more wait than may be held at once. */
  readonly isComplete: boolean;
}

/** How many letters were exported or discarded. */
export interface LookResult {
  /** Letters that the filter meant. */
  readonly count: number;
  /** Whether the whole queue was looked at; false when it was ended, or more wait than may be held at once. */
  readonly isComplete: boolean;
}

/**
 * The work with dead letters, over any backend. Looking changes nothing. Where the broker can be browsed, nobody notices it, and any
 * number of letters is looked at; elsewhere letters are received, held and given back, in their old place where the broker can,
 * and are out of sight for others while somebody looks.
 *
 * Every method rejects with QueueNotFoundError when the queue does not exist, with BrokerUnavailableError when the broker
 * cannot be reached, and with `CONFIGURATION` for an option that makes no sense.
 */
export class DeadLetters {
  readonly #backend: MessagingBackend;
  readonly #maxHeld: number;
  readonly #logger: Logger;
  readonly #clock: Clock;

  /** @throws MelangeError `CONFIGURATION` when `maxHeld` is no whole number above 0. */
  constructor({
    backend,
    maxHeld = 10_000,
    logger = warningLogger,
    clock = systemClock,
  }: DeadLettersOptions) {
    if (!(Number.isSafeInteger(maxHeld) && maxHeld > 0))
      throw new MelangeError(
        'CONFIGURATION',
        `DeadLetters: "maxHeld" must be a whole number above 0, not ${maxHeld}.`,
      );
    this.#backend = backend;
    this.#maxHeld = maxHeld;
    this.#logger = logger;
    this.#clock = clock;
  }

  /** The letters, in the queue's order. */
  async list(queue: string, { limit = 100, ...options }: ListOptions = {}): Promise<ListResult> {
    if (!(Number.isSafeInteger(limit) && limit > 0))
      throw new MelangeError('CONFIGURATION', `list: "limit" must be a whole number above 0, not ${limit}.`);
    const letters: DeadLetter[] = [];
    const result = await this.#look(queue, options, (letter) => {
      if (letters.length === limit) return 'stop';
      letters.push(letter);
      return 'keep';
    });
    return { letters, ...result };
  }

  /** The letters in groups that failed alike: by reason, consumer, error and the error's message without numbers and ids. */
  async summarize(queue: string, options: LookOptions = {}): Promise<Summary> {
    const groups = new Groups();
    const { isComplete } = await this.#look(queue, options, (letter) => {
      groups.add(letter);
      return 'keep';
    });
    return groups.summary(isComplete);
  }

  /** The letter with an id; `undefined` when there is none. */
  async show(
    queue: string,
    id: string,
    options: Pick<LookOptions, 'signal'> = {},
  ): Promise<DeadLetter | undefined> {
    let found: DeadLetter | undefined;
    await this.#look(queue, { ...options, filter: { ids: [id] } }, (letter) => {
      found = letter;
      return 'stop';
    });
    return found;
  }

  /**
   * Moves letters back to the queue that each failed in, with their id, content, key and original headers, and
   * `melange_redriven` counting. Each is confirmed there before it leaves here.
   *
   * @throws MelangeError `QUEUE_IN_USE` when another process redrives this queue.
   */
  redrive(queue: string, options: RedriveOptions = {}): Promise<RedriveResult> {
    const surroundings = {
      backend: this.#backend,
      clock: this.#clock,
      logger: this.#logger,
      maxHeld: this.#maxHeld,
    };
    return redrive(surroundings, queue, options);
  }

  /** Removes letters for good. */
  async discard(queue: string, options: LookOptions = {}): Promise<LookResult> {
    let count = 0;
    const failures: unknown[] = [];
    const { filter = {}, signal } = options;
    const isMeant = matcherOf(filter);
    const left = new LeftLetters();
    const surroundings = { backend: this.#backend, maxHeld: this.#maxHeld };
    const { isComplete } = await scan(
      this.#backend,
      queue,
      { maxHeld: this.#maxHeld, signal },
      (delivery) => {
        const letter = letterOf(delivery.message);
        if (left.has(letter)) return removeLeftOver(delivery);
        if (!isMeant(letter)) return 'keep';
        return Promise.resolve()
          .then(() => delivery.acknowledge())
          .then(
            () => {
              count += 1;
              left.add(letter);
            },
            (error: unknown) => {
              failures.push(error);
            },
          );
      },
    );
    await left.sweep(surroundings, queue, signal);
    if (failures.length > 0)
      throw new AggregateError(
        failures,
        `${failures.length} letters of "${queue}" may not have been discarded; ${count} were.`,
      );
    return { count, isComplete };
  }

  /**
   * Writes letters as lines of JSON (NDJSON), byte-exact, for `import`. The letters stay.
   *
   * @param write called for each line, which has no line end, one after the other.
   */
  async export(
    queue: string,
    write: (line: string) => void | Promise<void>,
    options: LookOptions = {},
  ): Promise<LookResult> {
    const ending = new AbortController();
    const onAbort = (): void => ending.abort(options.signal?.reason);
    options.signal?.addEventListener('abort', onAbort, { once: true });
    let count = 0;
    let written: Promise<void> = Promise.resolve();
    let failure: { readonly error: unknown } | undefined;
    try {
      options.signal?.throwIfAborted();
      const looking = { ...options, signal: ending.signal, afterPage: () => written };
      const { isComplete } = await this.#look(queue, looking, (letter) => {
        written = written
          .then(async () => {
            if (failure !== undefined) return;
            await write(lineOf(letter.message));
            count += 1;
          })
          .catch((error: unknown) => {
            failure ??= { error };
            ending.abort();
          });
        return 'keep';
      });
      await written;
      if (failure !== undefined) throw failure.error;
      return { count, isComplete };
    } finally {
      options.signal?.removeEventListener('abort', onAbort);
    }
  }

  /**
   * Publishes exported messages to a queue, with their ids and all their headers. Reads every line before it publishes the first message
   * of a batch of 100, and resolves with the number of messages when all are confirmed.
   *
   * @param lines without line ends; empty ones are skipped.
   * @throws MelangeError `MESSAGE_INVALID` naming the first line that is no exported message. Batches before it are published.
   */
  async import(queue: string, lines: Iterable<string> | AsyncIterable<string>): Promise<number> {
    let number = 0;
    let count = 0;
    let batch: Message[] = [];
    const send = async (): Promise<void> => {
      if (batch.length > 0) await this.#backend.publishToQueue(queue, batch);
      count += batch.length;
      batch = [];
    };
    for await (const line of lines) {
      number += 1;
      if (line.trim() !== '') batch.push(messageOf(line, number));
      if (batch.length === 100) await send();
    }
    await send();
    return count;
  }

  #look(
    queue: string,
    { filter = {}, ...looking }: LookOptions & { readonly afterPage?: () => Promise<void> },
    visit: (letter: DeadLetter) => 'keep' | 'stop',
  ): Promise<ScanResult> {
    const isMeant = matcherOf(filter);
    return look(this.#backend, queue, { maxHeld: this.#maxHeld, ...looking }, (message) => {
      const letter = letterOf(message);
      return isMeant(letter) ? visit(letter) : 'keep';
    });
  }
}
