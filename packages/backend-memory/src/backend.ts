import { type Backend, type BackendClass, type DriverContext, defineBackend } from '@melange/backend-kit';
import type { QueueOptions } from '@melange/core';
import { checkDelayMs, checkWholeNumber } from '@melange/core/adapter';
import { browsing } from './browse.ts';
import { memoryCapabilities } from './capabilities.ts';
import { Broker } from './client/broker.ts';
import { consuming } from './consume.ts';
import type { MemoryBackendOptions } from './options.ts';
import { type Interceptable, interception } from './publish/interception.ts';
import { publishing } from './publish/put.ts';
import { topology } from './topology.ts';

/** What `MemoryBackend` can do besides `MessagingBackend`. */
export interface MemoryMethods extends Interceptable {
  /**
   * Whether no queue hands anything over until somebody publishes, settles or subscribes, or time passes: for tests that
   * wait until all has happened.
   */
  readonly isQuiet: boolean;
}

/**
 * A broker inside this process: the embedded default, and the model of an adapter. It lives and dies with the
 * backend; while it lives it keeps every guarantee of `MessagingBackend`.
 *
 * @throws MelangeError `CONFIGURATION` when `maxMessages` or `leaseMs` is below 1.
 */
export const MemoryBackend: BackendClass<
  MemoryBackendOptions,
  typeof memoryCapabilities,
  QueueOptions,
  MemoryMethods
> = defineBackend({
  name: 'memory',
  capabilities: memoryCapabilities,
  driver({ leaseMs, maxMessages = 1_000_000 }: MemoryBackendOptions, context: DriverContext) {
    const { clock, logger, troubles } = context;
    const broker = new Broker({
      clock,
      troubles,
      maxMessages: checkWholeNumber('maxMessages', maxMessages, 1),
    });
    return {
      broker,
      // As long and as strange as they like, but not empty.
      names: { maxBytes: Number.MAX_SAFE_INTEGER },
      topology: topology(broker, logger),
      browsing: browsing(broker),
      publishing: publishing(broker),
      consuming: consuming(
        broker,
        clock,
        leaseMs === undefined ? undefined : checkDelayMs('leaseMs', leaseMs, 1),
      ),
      explain(error: unknown): never {
        // There is no client library: an error that is not Melange's own is a defect.
        throw error;
      },
      close: () => broker.close(),
    };
  },
  methods: ({ broker }, backend) => ({
    ...interception(broker, backend),
    get isQuiet() {
      return broker.isQuiet;
    },
  }),
});
/** An instance of `MemoryBackend`. */
export type MemoryBackend = Backend<typeof memoryCapabilities, QueueOptions> & MemoryMethods;
