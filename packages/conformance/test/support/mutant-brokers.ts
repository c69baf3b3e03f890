import { MemoryBackend, memoryCapabilities } from '@melange/backend-memory';
import { type Clock, type Logger, type MessagingBackend, silentLogger, systemClock } from '@melange/core';
import {
  LeasingBackend,
  type LeasingOptions,
  leasingCapabilities,
} from '../../../backend-kit/test/support/leasing-broker.ts';
import {
  PushingBackend,
  PushingBroker,
  type PushingOptions,
  pushingCapabilities,
} from '../../../backend-kit/test/support/pushing-broker.ts';
import { Store } from '../../../backend-kit/test/support/store.ts';
import type { BackendSuiteOptions } from '../../src/backend/suite-options.ts';
import type { Address } from '../../src/index.ts';
import { type Alter, altered, deliveries } from './altered-backends.ts';

/** A defect that shows between two backends, when connections break, or when leases end. */
export interface BrokerMutant {
  readonly defect: string;
  readonly caughtBy: string;
  /** @param echo where connections lead to. */
  readonly suite: (echo: Address) => BackendSuiteOptions;
}

const wait = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds));
const leaseMs = 900;
const bounds = { name: 'mutant', patienceMs: 3_000, quietMs: 50 };

/** A broker that leases, over a connection that can break. */
export function leasing(
  changes: Alter = () => ({}),
  options: Partial<LeasingOptions> = {},
): BrokerMutant['suite'] {
  const store = new Store();
  const make = (more: Partial<LeasingOptions>): MessagingBackend => {
    const backend: MessagingBackend = new LeasingBackend({
      store,
      leaseMs,
      logger: silentLogger,
      ...options,
      ...more,
    });
    return altered(backend, changes(backend));
  };
  return (echo) => ({
    ...bounds,
    create: () => ({ backend: make({}), another: () => make({}) }),
    capabilities: leasingCapabilities,
    leaseMs,
    faults: { target: echo, create: (address, logger) => make({ address, logger }) },
  });
}

/** A broker that pushes, over a connection that can break. */
export function pushing(
  changes: Alter = () => ({}),
  optionsOf: (logger: Logger) => Partial<PushingOptions> = (logger) => ({ logger }),
): BrokerMutant['suite'] {
  const broker = new PushingBroker();
  const make = (options: Partial<PushingOptions>): MessagingBackend => {
    const backend: MessagingBackend = new PushingBackend({ broker, logger: silentLogger, ...options });
    return altered(backend, changes(backend));
  };
  return (echo) => ({
    ...bounds,
    create: () => ({ backend: make({}), another: () => make({}) }),
    capabilities: pushingCapabilities,
    faults: { target: echo, create: (address, logger) => make({ ...optionsOf(logger), address }) },
  });
}

/** Shortens the pauses between tries, and no timeout: they are a second, or longer than any pause. */
const impatientClock: Clock = {
  now: () => systemClock.now(),
  monotonicNow: () => systemClock.monotonicNow(),
  schedule: (action, delayMs) => {
    const isTimeout = delayMs === 1_000 || delayMs > 5_000;
    return systemClock.schedule(action, isTimeout ? delayMs : Math.min(delayMs, 20));
  },
};

const resolvesAtOnce = deliveries((one) => ({ acknowledge: async () => void one.acknowledge() }));

/** Defective backends, and a broker for each. */
export const brokerMutants: readonly BrokerMutant[] = [
  {
    defect: 'does not renew its leases',
    caughtBy: 'leases/renewed',
    suite: () => ({
      ...bounds,
      create: () => ({ backend: new MemoryBackend({ leaseMs: 150 }) }),
      capabilities: { ...memoryCapabilities, deliveriesOutliveConnections: true },
      leaseMs: 150,
    }),
  },
  {
    defect: 'does not tell a holder that it has lost its message',
    caughtBy: 'leases/older-delivery-is-lost',
    suite: leasing(deliveries(() => ({ signal: new AbortController().signal, isAborted: false }))),
  },
  {
    defect: 'hides that a message was handed out before',
    caughtBy: 'leases/older-delivery-is-lost',
    suite: leasing(deliveries(() => ({ redeliveries: 0 }))),
  },
  {
    defect: 'takes a settlement by a former holder',
    caughtBy: 'leases/late-settlement',
    suite: leasing(undefined, { isFenced: false }),
  },
  {
    defect: 'does not wait for the answer to an acknowledgement',
    caughtBy: 'faults/acknowledging-waits',
    suite: leasing(resolvesAtOnce),
  },
  {
    defect: 'acknowledges some time after it says so',
    caughtBy: 'settle/acknowledged-before-the-close',
    suite: leasing(
      deliveries((one) => ({ acknowledge: async () => void wait(50).then(() => one.acknowledge()) })),
    ),
  },
  {
    defect: 'closes while a publish looks up its destination',
    caughtBy: 'shutdown/publishes-under-way',
    suite: leasing((backend) => ({
      publishToQueue: async (queue, messages, options) => {
        await wait(20);
        await backend.publishToQueue(queue, messages, options);
      },
    })),
  },
  {
    defect: 'counts a lost connection as an attempt',
    caughtBy: 'faults/cut-while-consuming',
    suite: pushing(deliveries(({ attempt, redeliveries = 0 }) => ({ attempt: attempt + redeliveries }))),
  },
  {
    defect: 'does not count redeliveries',
    caughtBy: 'faults/cut-while-consuming',
    suite: pushing(deliveries(() => ({ redeliveries: 0 }))),
  },
  {
    defect: 'connects again without a pause that grows',
    caughtBy: 'faults/reconnecting',
    suite: pushing(undefined, (logger) => ({ logger, clock: impatientClock })),
  },
  {
    defect: 'says twice that its broker is away',
    caughtBy: 'faults/reconnecting',
    suite: pushing(undefined, (logger) => ({
      logger: {
        ...silentLogger,
        info: (text) => logger.info(text),
        warn: (text) => {
          logger.warn(text);
          logger.warn(text);
        },
      },
    })),
  },
  {
    defect: 'does not say that its broker is away',
    caughtBy: 'faults/reconnecting',
    suite: pushing(undefined, () => ({})),
  },
  {
    defect: 'does not say that its broker is back',
    caughtBy: 'faults/reconnecting',
    suite: pushing(undefined, (logger) => ({
      logger: { ...silentLogger, warn: (text) => logger.warn(text) },
    })),
  },
  {
    defect: 'ends its subscription in a long silence',
    caughtBy: 'faults/long-stall',
    suite: pushing((backend) => {
      const open: (() => Promise<void>)[] = [];
      return {
        subscribe: async (queue, options, receive) => {
          const subscription = await backend.subscribe(queue, options, receive);
          open.push(() => subscription.close());
          return subscription;
        },
        publishToQueue: async (queue, messages, options) => {
          const published = backend.publishToQueue(queue, messages, options);
          if ((await Promise.race([published, wait(1_000).then(() => 'silent')])) === 'silent')
            for (const close of open) void close();
          await published;
        },
      };
    }),
  },
];
