import {
  type Consumer,
  type DeduplicationCache,
  exponentialBackoff,
  MelangeError,
  MessageDispatcher,
  type MessagingBackend,
  QueuePublisher,
  Reject,
  RetryLater,
  type Serializer,
  SerializerRegistry,
  silentLogger,
} from '@melange/core';
import { queue } from '../broker/names.ts';
import type { Network } from '../broker/network.ts';
import type { RunRecord } from '../check/ledger.ts';
import { RunChecks } from '../check/run-checks.ts';
import type { Plan, PlannedMessage } from '../plan/plan.ts';
import { behave, type HandlerSurroundings } from './behave.ts';
import { type CacheStore, CacheUse, simulatedCache } from './cache.ts';
import { consumersOf, maxAttempts } from './consumers.ts';

/** Content is the place of the message in the plan, as text. */
export const textSerializer: Serializer = {
  identifier: 1,
  manifest: () => 'text',
  serialize: (value) => String(value),
  deserialize(content) {
    if (content === 'undecodable') throw new Error('it cannot be read');
    return String(content);
  },
};

/** Serializers of the service. */
export function newSerializers(): SerializerRegistry {
  return new SerializerRegistry({ serializers: { text: textSerializer }, default: 'text' });
}

/** Time that a run has, in ms. */
const handlerTimeoutMs = 15_000;
/** Lease of a claim, in ms. */
const claimLeaseMs = 9_000;
/** A message that is handed out in vain more often than this is taken to end its process. */
const maxRedeliveries = 14;

/** What a worker of the service runs with. */
export interface WorkerSettings extends Omit<HandlerSurroundings, 'publisher'> {
  readonly plan: Plan;
  readonly backend: MessagingBackend;
  readonly network: Network;
  readonly cacheStore: CacheStore;
  readonly random: () => number;
}

/** One process of the service: the real dispatcher on a simulated broker. */
export class Worker {
  readonly #settings: WorkerSettings;
  readonly #dispatcher: MessageDispatcher;
  readonly #surroundings: HandlerSurroundings;
  readonly #checks: RunChecks;
  #isStopping = false;

  constructor(settings: WorkerSettings) {
    this.#settings = settings;
    const { plan, process, backend, random, ledger, endProcess, network, cacheStore } = settings;
    const serializers = newSerializers();
    const publisher = new QueuePublisher({ backend, serializers, clock: process });
    this.#surroundings = { process, ledger, publisher, endProcess };
    const use = new CacheUse();
    this.#checks = new RunChecks(plan, ledger, process, use);
    this.#dispatcher = new MessageDispatcher({
      backend,
      serializers,
      concurrency: plan.concurrency,
      ordering: plan.ordering,
      retry: exponentialBackoff({ maxAttempts, firstDelayMs: 300, longestDelayMs: 2_400 }),
      logger: silentLogger,
      clock: process,
      random,
      maxRedeliveries,
      handlerTimeoutMs,
      earlyAck: plan.acknowledging === 'early',
      alwaysAck: plan.acknowledging === 'always',
      ...(plan.cache === 'none' ? {} : cacheOptions(plan.cache, simulatedCache(cacheStore, network, use))),
    });
    for (const name of consumersOf(plan, process.version))
      this.#dispatcher.attachConsumer(this.#consumer(name));
  }

  /** The dispatcher, for its health. */
  get dispatcher(): MessageDispatcher {
    return this.#dispatcher;
  }

  /** Consumes until it is stopped, or its process ends. */
  async run(): Promise<void> {
    const { process, plan } = this.#settings;
    const options = {
      onException: (_error: unknown, { messageId }: { readonly messageId: string | undefined }) => {
        if (messageId !== undefined) this.#settings.ledger.of(messageId).reported += 1;
      },
    };
    while (process.isAlive && !this.#isStopping) {
      try {
        if (plan.consuming === 'loop') {
          await this.#dispatcher.consumeLoop(queue, options);
          return;
        }
        await this.#dispatcher.consumeEvent(queue, options);
      } catch (error) {
        if (MelangeError.is(error, 'CLOSED')) return;
        // The broker was away at the start: as a supervisor does, begin again after a while.
      }
      await process.pause(500);
    }
  }

  /** Stops as a process does that is told to. */
  stop(deadlineMs: number): Promise<void> {
    this.#isStopping = true;
    return this.#dispatcher.close({ deadlineMs });
  }

  #consumer(name: string): Consumer {
    const { plan, process, ledger } = this.#settings;
    return {
      name,
      accepts: (message) => plan.messages[Number(message)]?.behaviour !== 'unhandled',
      process: async (message, context) => {
        const { behaviour } = plan.messages[Number(message)] as PlannedMessage;
        const run = this.#checks.begin(name, context);
        const { runs } = ledger.of(context.messageId);
        const number = runs.filter(({ consumer }) => consumer === name).length;
        try {
          await behave(behaviour, number, context, this.#surroundings);
        } catch (error) {
          if (process.isAlive) this.#checks.end(run, context.messageId, outcomeOf(error));
          throw error;
        }
        // Of a process that has ended nothing is seen any more.
        if (process.isAlive) this.#checks.end(run, context.messageId, 'succeeded');
      },
    };
  }
}

function cacheOptions(onUnavailable: 'retry' | 'process', cache: DeduplicationCache) {
  return { cache, deduplication: { leaseMs: claimLeaseMs, timeoutMs: 3_000, onUnavailable } };
}

function outcomeOf(error: unknown): RunRecord['outcome'] {
  if (error instanceof RetryLater) return 'deferred';
  return error instanceof Reject ? 'rejected' : 'failed';
}
