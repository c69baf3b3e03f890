import type { Clock, Health, Logger, Middleware } from '@melange/core';

/** Holds messages back: made by `rateLimit` or `circuitBreaker`, for a queue of a service or for a dispatcher. */
export interface FlowControl {
  /** Begins: what it returns has its own state. A service begins it once, however many of its queues share it. */
  start(environment?: FlowEnvironment): StartedFlowControl;
}

/** What flow control is given. */
export interface FlowEnvironment {
  /** Time of its waits. Default: the machine's. */
  readonly clock?: Clock;
  /** Told of trouble and recovery. Default: warnings and errors to standard error. */
  readonly logger?: Logger;
  /** When it is aborted, messages that wait go back to their queue. Give it what stops the loop. Default: none. */
  readonly signal?: AbortSignal;
  /** Makes what counts for a rate limit, in place of its own, as for a test in virtual time. Default: its own. */
  readonly limiter?: (messages: number, perMs: number) => Limiter;
  /** Called when a message is held. Default: nobody is told. */
  readonly onHeld?: () => void;
}

/** Flow control under way. */
export interface StartedFlowControl {
  /** To be the outermost of a dispatcher. */
  readonly middleware: Middleware;
  /** Messages that are held now. */
  readonly held: number;
  /** Whether something is in trouble. */
  health(): Health;
}

/** What `rateLimit` needs of a limiter: those of `rate-limiter-flexible` fit. */
export interface Limiter {
  /**
   * Takes a point of a key. Rejects with an object that has `msBeforeNext` when there is none; with an error when it
   * does not know.
   */
  consume(key: string, points?: number): Promise<unknown>;
}
