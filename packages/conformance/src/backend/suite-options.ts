import type { Capabilities, Logger, MaybePromise, MessagingBackend } from '@melange/core';
import type { Address } from '../tcp-proxy.ts';

/** A fresh backend, and a way to make others on the same broker. */
export interface BackendUnderTest {
  /** Connects on first use. The suite closes it. */
  readonly backend: MessagingBackend;
  /**
   * Makes one more backend on the same broker, as another process would. Left out where the broker lives and
   * dies with the backend: what needs it is skipped with that reason.
   */
  readonly another?: () => MaybePromise<MessagingBackend>;
}

/** How the suite reaches the broker through a proxy that breaks connections. */
export interface BackendFaults {
  /** Where the broker listens. */
  readonly target: Address;
  /**
   * Makes a backend that connects to `address` in place of the broker. The suite closes it.
   *
   * @param logger what the backend has to say of lost connections goes there: the suite reads it.
   */
  readonly create: (address: Address, logger: Logger) => MaybePromise<MessagingBackend>;
  /** For how long the broker gives a message to these backends, in ms. Default: `BackendSuiteOptions.leaseMs`. */
  readonly leaseMs?: number;
  /** Restarts the broker; resolves when it accepts connections again. Left out: those behaviours are skipped. */
  readonly restart?: () => Promise<void>;
}

/** What `describeBackend` needs to know. */
export interface BackendSuiteOptions {
  /** Name in the output and in the table. */
  readonly name: string;
  /** Called once for each behaviour. */
  readonly create: () => MaybePromise<BackendUnderTest>;
  /** What the backend declares; what it cannot do is skipped. */
  readonly capabilities: Capabilities;
  /** How to reach the broker through a proxy that breaks connections. Default: behaviours under faults are skipped. */
  readonly faults?: BackendFaults;
  /**
   * For how long the broker gives a message to a backend that `create` makes, in ms, where it gives messages for a time.
   * Short, for the suite waits for several. Default: what is about leases is skipped.
   */
  readonly leaseMs?: number;
  /** Longest wait for something to happen, in ms. Default: 15,000. */
  readonly patienceMs?: number;
  /** Length of the quiet periods that prove that something does not happen, in ms. Default: 150. */
  readonly quietMs?: number;
}
