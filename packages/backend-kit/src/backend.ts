import type { Capabilities, Clock, Logger, MessagingBackend, QueueOptions } from '@melange/core';
import type { Driver, DriverContext, Received } from './driver.ts';
import { DriverBackend } from './driver-backend.ts';

/** Options that every backend takes. */
export interface BackendOptions {
  /** Longest wait for the broker to confirm a publish, in ms. Default: 30,000. */
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

/** A backend whose queues take options of their own. */
export type Backend<
  Features extends Capabilities,
  Options extends QueueOptions,
> = MessagingBackend<Features> & {
  declareQueue(name: string, options?: Options): Promise<void>;
};

/** The class that an adapter exports. */
export type BackendClass<
  Settings,
  Features extends Capabilities,
  Options extends QueueOptions = QueueOptions,
  Methods extends object = object,
> = new (options: Settings) => Backend<Features, Options> & Methods;

/** What an adapter is. */
export interface BackendDefinition<
  Settings extends BackendOptions,
  Features extends Capabilities,
  Options extends QueueOptions,
  Encoded,
  Taken extends Received,
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
  driver(settings: Settings, context: DriverContext): Driver<Options, Encoded, Taken>;
  /** What the backend can do besides `MessagingBackend`. Default: nothing. */
  methods?(driver: Driver<Options, Encoded, Taken>): Methods;
}

/**
 * Makes the class of a backend from a driver: the driver says how its broker does things, the kit does everything that is
 * the same for each broker, and keeps the guarantees of `MessagingBackend`.
 */
export function defineBackend<
  Settings extends BackendOptions,
  Features extends Capabilities,
  Options extends QueueOptions,
  Encoded,
  Taken extends Received,
  Methods extends object = object,
>(
  definition: BackendDefinition<Settings, Features, Options, Encoded, Taken, Methods>,
): BackendClass<Settings, Features, Options, Methods> {
  const Defined = class extends DriverBackend<Settings, Features, Options, Encoded, Taken> {
    constructor(settings: Settings) {
      super(definition, settings);
      Object.assign(this, definition.methods?.(this.driver));
    }
  };
  // Object.assign is not seen by the compiler.
  return Defined as unknown as BackendClass<Settings, Features, Options, Methods>;
}
