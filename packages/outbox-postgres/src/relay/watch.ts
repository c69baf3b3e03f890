import type { Troubles } from '@melange/backend-kit';
import type { Logger } from '@melange/core';
import { thrownText } from '@melange/core/adapter';
import type { SqlExecutor } from '@melange/postgres';
import { measure, wakeOrphans } from './measure.ts';

const everyMs = 5_000;
const measureSubject = 'measuring the outbox';
const oldSubject = 'publishing messages in time';

/** What a watch goes by. */
export interface OutboxWatchOptions {
  /** Age in ms from which a message that waits is a trouble. */
  readonly maxAgeMs: number;
  readonly laneLimit: number;
  readonly logger: Logger;
  readonly troubles: Troubles;
}

/** Looks now and then how old what waits is, and for messages that wait for none. */
export class OutboxWatch {
  readonly #executor: SqlExecutor;
  readonly #schema: string;
  readonly #options: OutboxWatchOptions;
  #timer: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(executor: SqlExecutor, schema: string, options: OutboxWatchOptions) {
    this.#executor = executor;
    this.#schema = schema;
    this.#options = options;
  }

  start(): void {
    this.#lookAfter(0);
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  #lookAfter(milliseconds: number): void {
    this.#timer = setTimeout(() => void this.#look(), milliseconds);
    this.#timer.unref();
  }

  async #look(): Promise<void> {
    const { maxAgeMs, laneLimit, logger, troubles } = this.#options;
    try {
      const { oldestAgeMs = 0 } = await measure(this.#executor, this.#schema);
      const keys = await wakeOrphans(this.#executor, this.#schema, laneLimit);
      if (keys > 0)
        logger.warn('messages of the outbox waited for others of their key that somebody deleted by hand', {
          keys,
        });
      troubles.end(measureSubject);
      if (oldestAgeMs > maxAgeMs)
        troubles.begin(oldSubject, `the oldest one waits for ${Math.round(oldestAgeMs / 1_000)} s`, true);
      else troubles.end(oldSubject);
    } catch (error) {
      if (!this.#isClosed) troubles.begin(measureSubject, thrownText(error));
    }
    if (!this.#isClosed) this.#lookAfter(everyMs);
  }
}
