import type { MessagingBackend } from '../contract/backend.ts';
import { BackendManager } from '../contract/backend-manager.ts';
import { NullCache } from '../contract/cache.ts';
import { checkDelayMs, checkWholeNumber } from '../contract/check-number.ts';
import { type Clock, systemClock } from '../contract/clock.ts';
import type { Consumer } from '../contract/consumer.ts';
import type { Health } from '../contract/health.ts';
import { channels, publishError, traced } from '../contract/instrumentation.ts';
import { type Logger, unfailingLogger } from '../contract/logger.ts';
import { describeThrown, MelangeError } from '../errors.ts';
import { loggedOutage } from './cache-outage.ts';
import { callApplication } from './call-application.ts';
import { ClaimKeys } from './claim-keys.ts';
import { ClaimKeeper } from './claims.ts';
import { countOutcome, newCounters } from './counters.ts';
import { logFailures } from './failure-log.ts';
import { standstill, worstOf } from './health-of-loops.ts';
import { ConsumeLoop } from './loop.ts';
import type {
  ConsumeOptions,
  DispatcherCounters,
  ExceptionContext,
  LoopHealth,
  MessageDispatcherOptions,
} from './options.ts';
import type { ProcessingRules } from './process-message.ts';
import { checkRetryPolicy, exponentialBackoff, type RetryPolicy } from './retry.ts';
import { Router } from './router.ts';
import { whicheverFirst } from './whichever-first.ts';
import type { Work } from './work.ts';

const defaultConcurrency = 10;
const defaultDeadlineMs = 30_000;
const defaultMaxRedeliveries = 20;
/** `close()` logs the handlers that still run after so many ms. */
const warnAfterMs = 1_000;
/** Longest period of Node's timers. */
const longestTimerMs = 2_147_483_647;

/** Consumes queues and gives each message to the consumers that accept it. */
export class MessageDispatcher {
  /** Where it consumes from. */
  readonly backend: MessagingBackend;
  readonly #options: MessageDispatcherOptions;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #claims: ClaimKeeper | undefined;
  readonly #retry: RetryPolicy;
  readonly #counters = newCounters();
  readonly #loops = new Map<ConsumeLoop, Promise<void>>();
  readonly #failed = new Map<string, string>();
  readonly #closing = new AbortController();
  #consumers: readonly Consumer[] = [];
  #router = new Router([]);
  #deadlineMs: number | undefined;

  /** @throws MelangeError `CONFIGURATION` for a number that makes no sense, or when there is no backend. */
  constructor(options: MessageDispatcherOptions) {
    const { concurrency = defaultConcurrency, cache, clock = systemClock, logger } = options;
    checkWholeNumber('concurrency', concurrency, 1);
    if (options.maxRedeliveries !== undefined)
      checkWholeNumber('maxRedeliveries', options.maxRedeliveries, 0);
    if (options.handlerTimeoutMs !== undefined) checkDelayMs('handlerTimeoutMs', options.handlerTimeoutMs);
    this.#options = options;
    this.backend = options.backend ?? BackendManager.getDefaultBackend();
    this.#clock = clock;
    this.#logger = unfailingLogger(logger);
    this.#retry = checkRetryPolicy(options.retry ?? exponentialBackoff());
    if (cache !== undefined && !(cache instanceof NullCache)) {
      const deduplication = options.deduplication ?? {};
      this.#claims = new ClaimKeeper(
        cache,
        clock,
        deduplication,
        loggedOutage(this.#logger, clock, deduplication.onUnavailable),
      );
    }
  }

  /** Counts of messages so far. The object is updated as messages are processed. */
  get counters(): DispatcherCounters {
    return this.#counters;
  }

  /** Number of messages being processed now: decoded, handled or settled. */
  get running(): number {
    return [...this.#loops.keys()].reduce((sum, loop) => sum + loop.running, 0);
  }

  /**
   * Adds a consumer: from now on it gets the messages that it accepts.
   *
   * @throws MelangeError `CONSUMER_DUPLICATE` when another consumer of that name is attached: the two would
   * share their deduplication keys.
   */
  attachConsumer(consumer: Consumer): void {
    if (this.#consumers.includes(consumer)) return;
    if (this.#consumers.some(({ name }) => name === consumer.name)) {
      throw new MelangeError(
        'CONSUMER_DUPLICATE',
        `A consumer named "${consumer.name}" is attached already.`,
      );
    }
    this.#setConsumers([...this.#consumers, consumer]);
  }

  /** Removes a consumer; messages that it is processing are finished. */
  unattachConsumer(consumer: Consumer): void {
    this.#setConsumers(this.#consumers.filter((attached) => attached !== consumer));
  }

  /**
   * Consumes the queue until `signal` is aborted or the dispatcher is closed, then stops intake at once,
   * waits for running handlers up to the deadline, aborts their signals, gives unfinished messages back, and
   * resolves. Nothing is acknowledged that did not finish (except with `earlyAck`).
   *
   * @throws QueueNotFoundError, BrokerUnavailableError at the start; later the error that ends the subscription for good.
   */
  consumeLoop(queue: string, options: ConsumeOptions = {}): Promise<void> {
    return this.#consume(queue, options, false);
  }

  /** Consumes the messages that are in the queue now, then resolves. Messages that wait for a retry stay. Throws as `consumeLoop`. */
  consumeEvent(queue: string, options: ConsumeOptions = {}): Promise<void> {
    return this.#consume(queue, options, true);
  }

  /** Stops every loop as an aborted signal would, with one deadline (in ms, default 30,000) for all. Idempotent. */
  async close(options: { readonly deadlineMs?: number } = {}): Promise<void> {
    const { deadlineMs } = options;
    if (deadlineMs !== undefined) this.#deadlineMs = checkDelayMs('deadlineMs', deadlineMs);
    this.#closing.abort();
    const closedAt = this.#clock.now();
    const cancel = this.#clock.schedule(() => this.#warnOfRunning(closedAt), warnAfterMs);
    await Promise.allSettled(this.#loops.values());
    cancel();
  }

  /** `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /**
   * The worst of backend, cache and loops. A loop that ended in an error is unhealthy until it is started again; a key
   * that has stood still for 30 s is degraded.
   */
  async health(): Promise<Health & { readonly loops: readonly LoopHealth[] }> {
    const loops: LoopHealth[] = [...this.#loops.keys()].map(({ queue, inFlight, standing }) => ({
      queue,
      inFlight,
      ...(standing && { standing }),
    }));
    for (const [queue, failed] of this.#failed) loops.push({ queue, inFlight: 0, failed });
    const parts: readonly Health[] = await Promise.all([
      this.backend.health(),
      this.#cacheHealth(),
      this.#claims?.health() ?? ({ status: 'healthy' } as const),
      ...this.#failures(),
      ...loops.map(standstill),
    ]);
    return { ...worstOf(parts), loops };
  }

  /** A handler that awaits `close()` waits for itself until the deadline: this line tells why closing takes so long. */
  #warnOfRunning(closedAt: number): void {
    for (const { queue, running, deadlineMs } of this.#loops.keys()) {
      if (running === 0) continue;
      const until = new Date(closedAt + deadlineMs).toISOString();
      const facts = { queue, running, until, deadlineMs };
      this.#logger.warn('close() waits for handlers; one that awaits close() waits in vain', facts);
    }
  }

  #setConsumers(consumers: readonly Consumer[]): void {
    this.#consumers = consumers;
    this.#router = new Router(consumers);
  }

  async #cacheHealth(): Promise<Health> {
    try {
      return (await this.#options.cache?.health()) ?? { status: 'healthy' };
    } catch (error) {
      return { status: 'unhealthy', detail: `deduplication cache: ${describeThrown(error).message}` };
    }
  }

  #failures(): Health[] {
    const detailOf = ([queue, text]: [string, string]): string => `queue "${queue}": ${text}`;
    return [...this.#failed].map((failed) => ({ status: 'unhealthy', detail: detailOf(failed) }));
  }

  async #consume(queue: string, options: ConsumeOptions, untilEmpty: boolean): Promise<void> {
    if (this.#closing.signal.aborted) throw new MelangeError('CLOSED', 'The dispatcher is closed.');
    if (options.deadlineMs !== undefined) checkDelayMs('deadlineMs', options.deadlineMs);
    // Node ends a process that waits for promises alone, as a loop on the memory backend does.
    const keepingAlive = setInterval(() => undefined, longestTimerMs);
    const stop = whicheverFirst(this.#closing.signal, options.signal);
    const loop = this.#loopOf(queue, options);
    this.#failed.delete(queue);
    const trace = { queue, backend: this.backend, dispatcher: this, inFlight: () => loop.inFlight };
    const running = traced(channels.consume, trace, () => loop.run(stop.signal, untilEmpty));
    this.#loops.set(loop, running);
    try {
      await running;
    } catch (error) {
      this.#failed.set(queue, describeThrown(error).message);
      this.#logger.error('a consume loop ended in an error', { queue, error });
      throw error;
    } finally {
      clearInterval(keepingAlive);
      stop.release();
      this.#loops.delete(loop);
    }
  }

  #loopOf(queue: string, options: ConsumeOptions): ConsumeLoop {
    const { concurrency = defaultConcurrency, ordering = 'none' } = this.#options;
    const tell = (error: unknown, work: Work | undefined, consumer?: string): void => {
      const { delivery, attempt } = work ?? {};
      const context: ExceptionContext = { queue, messageId: delivery?.message.id, attempt, consumer };
      callApplication(this.#logger, () => options.onException?.(error, context));
      publishError({ queue, error, delivery, consumer });
    };
    const report = (error: unknown, work: Work | undefined, consumer?: string): void => {
      if (work === undefined) this.#logger.error('consuming a queue failed', { queue, error });
      else {
        work.failures ??= [];
        work.failures.push({ error, consumer });
      }
      tell(error, work, consumer);
    };
    let rules: ProcessingRules;
    return new ConsumeLoop(queue, {
      backend: this.backend,
      clock: this.#clock,
      concurrency: ordering === 'queue' ? 1 : concurrency,
      ordering,
      deadlineMs: () => this.#deadlineMs ?? options.deadlineMs ?? defaultDeadlineMs,
      longestDelayMs: this.#retry.longestDelayMs,
      rules: (deadLetterQueue) => {
        rules = this.#rules(queue, deadLetterQueue, {
          report: (error, consumer, work) => report(error, work, consumer),
          onUnclaimed: (error, consumer, work) => tell(error, work, consumer),
        });
        return rules;
      },
      report,
      onReceived: () => {
        this.#counters.received += 1;
      },
      onOutcome: (outcome, work) => {
        if (work.failures !== undefined) logFailures(this.#logger, work, outcome, rules);
        if (outcome === undefined || outcome.kind === 'release') return;
        countOutcome(this.#counters, outcome);
        if (options.afterConsume !== undefined) callApplication(this.#logger, options.afterConsume);
      },
    });
  }

  #rules(
    queue: string,
    deadLetterQueue: string | undefined,
    told: Pick<ProcessingRules, 'report' | 'onUnclaimed'>,
  ): ProcessingRules {
    const { serializers, middleware = [], earlyAck = false, alwaysAck = false } = this.#options;
    const countsHandingOut = !this.backend.capabilities.releaseKeepsAttempt && deadLetterQueue !== undefined;
    const maxRedeliveries = this.#options.maxRedeliveries ?? defaultMaxRedeliveries;
    const router = (): Router => this.#router;
    return {
      queue,
      deadLetterQueue,
      // A getter: consumers are attached and unattached while the loop runs.
      get router() {
        return router();
      },
      serializers,
      claims: this.#claims,
      claimKeys: new ClaimKeys(queue),
      retry: this.#retry,
      maxRedeliveries,
      // Not fewer than `maxRedeliveries`: messages beside one that ends the process are handed out as often until they run alone.
      maxAttemptsHandedOut: countsHandingOut
        ? Math.max(this.#retry.maxAttempts, maxRedeliveries + 1)
        : Number.POSITIVE_INFINITY,
      middleware,
      earlyAck,
      alwaysAck,
      handlerTimeoutMs: this.#options.handlerTimeoutMs,
      clock: this.#clock,
      unhandled: this.#options.unhandled ?? 'dead-letter',
      random: this.#options.random ?? Math.random,
      ...told,
      onDuplicate: () => {
        this.#counters.duplicates += 1;
      },
    };
  }
}
