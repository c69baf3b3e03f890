import type { Capabilities, Clock, Logger, MessagingBackend, QueueOptions } from '@melange/core';
import type { Driver, DriverContext, Received } from './driver.ts';

/** Options that every backend takes. */
export interface BackendOptions {
  /**
   * Longest wait for the broker to confirm a publish without a deadline of its own, in ms. One that waits for its turn waits for as
   * long as its destination takes messages. Default: 30,000.
   */
  readonly publishTimeoutMs?: number;
  /** Longest wait for an answer about a queue or topic, in ms. Default: 10,000. */
  readonly requestTimeoutMs?: number;
  /** Told of trouble and recovery. Default: warnings and errors to standard error. */
  readonly logger?: Logger;
  /** Time of deadlines, leases and pauses. Default: the machine's. */
  readonly clock?: Clock;
  /** Source of jitter, from 0 (inclusive) to 1 (exclusive). Default: `Math.random`. */
  readonly random?: () => number;
}

/** What an adapter is. */
export interface BackendDefinition<
  Settings extends BackendOptions,
  Features extends Capabilities,
  Options extends QueueOptions,
  Made extends Driver<Options, unknown, Received>,
  Methods extends object,
> {
  /** Technology, for logs and tables: `nats`. */
  readonly name: string;
  /** What this broker can do. */
  readonly capabilities: Features;
  /**
   * Makes the driver. Must not connect.
   *
   * @throws MelangeError `CONFIGURATION` when an option makes no sense.
   */
  driver(settings: Settings, context: DriverContext): Made;
  /** Default of `BackendOptions.requestTimeoutMs`, where it is not 10,000. */
  readonly requestTimeoutMs?: number;
  /**
   * What the backend can do besides `MessagingBackend`, getters included. A method of a name that the backend has takes its place.
   * Default: nothing.
   *
   * @param driver as `driver` made it.
   * @param backend as yet without these methods: bind a method now that is to be called by the one that takes its place.
   */
  methods?(driver: Made, backend: MessagingBackend<Features>): Methods;
}
