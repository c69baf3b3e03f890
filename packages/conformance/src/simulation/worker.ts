import {
  type Consumer,
  type DeduplicationCache,
  exponentialBackoff,
  MessageDispatcher,
  type MessagingBackend,
  Reject,
  RetryLater,
  type Serializer,
  SerializerRegistry,
  silentLogger,
} from '@melange/core';
import type { Ledger } from './ledger.ts';
import type { Plan, PlannedMessage } from './plan.ts';
import type { SimulatedProcess } from './scheduler.ts';

/** Content is the place of the message in the plan, as text. */
export const textSerializer: Serializer = {
  identifier: 1,
  manifest: () => 'text',
  serialize: (value) => String(value),
  deserialize: (content) => String(content),
};

/** Attempts in all, when a handler fails. */
export const maxAttempts = 4;

/** What a worker of the service runs with. */
export interface WorkerSettings {
  readonly plan: Plan;
  readonly process: SimulatedProcess;
  readonly backend: MessagingBackend;
  readonly cache: DeduplicationCache | undefined;
  readonly ledger: Ledger;
  readonly queue: string;
  readonly random: () => number;
}

/** One process of the service: the real dispatcher on a simulated broker. */
export class Worker {
  readonly #settings: WorkerSettings;
  readonly #dispatcher: MessageDispatcher;
  #running = 0;

  constructor(settings: WorkerSettings) {
    this.#settings = settings;
    const { plan, process, backend, cache, random } = settings;
    this.#dispatcher = new MessageDispatcher({
      backend,
      serializers: new SerializerRegistry({ serializers: { text: textSerializer }, default: 'text' }),
      concurrency: plan.concurrency,
      ordering: plan.ordering,
      retry: exponentialBackoff({ maxAttempts, firstDelayMs: 100, longestDelayMs: 2_000 }),
      logger: silentLogger,
      clock: process,
      random,
      ...(cache === undefined ? {} : { cache }),
    });
    for (let number = 1; number <= plan.consumers; number += 1)
      this.#dispatcher.attachConsumer(this.#consumer(`consumer-${number}`));
  }

  /** Consumes until it is stopped, or its process ends. */
  async run(): Promise<void> {
    const { process, queue } = this.#settings;
    while (process.isAlive) {
      try {
        await this.#dispatcher.consumeLoop(queue);
        return;
      } catch {
        // The broker was away at the start: as a supervisor does, begin again after a while.
        await process.pause(500);
      }
    }
  }

  /** Stops as a process does that is told to. */
  stop(deadlineMs: number): Promise<void> {
    return this.#dispatcher.close({ deadlineMs });
  }

  #consumer(name: string): Consumer {
    return {
      name,
      accepts: () => true,
      process: async (message, context) => {
        const { plan, process, ledger } = this.#settings;
        const record = ledger.of(context.messageId);
        const planned = plan.messages[Number(message)] as PlannedMessage;
        const runs = (record.started.get(name) ?? 0) + 1;
        record.started.set(name, runs);
        this.#running += 1;
        const bound = plan.ordering === 'queue' ? 1 : plan.concurrency;
        if (this.#running > bound)
          ledger.violate('concurrency is a bound', `${this.#running} handlers run, ${bound} may`);
        if (context.attempt > record.failed + 1)
          ledger.violate(
            'attempts count runs that failed',
            `${record.id} ran as attempt ${context.attempt} after ${record.failed} failed runs`,
          );
        ledger.tell(process.name, () => `${name} runs ${record.id}, attempt ${context.attempt}`);
        try {
          await this.#behave(planned, runs);
        } catch (error) {
          record.failed += process.isAlive && !(error instanceof RetryLater) ? 1 : 0;
          if (error instanceof Reject) record.isRejected = true;
          ledger.tell(process.name, () => `${name} fails with ${record.id}`);
          throw error;
        } finally {
          this.#running -= 1;
        }
        record.succeeded.set(name, (record.succeeded.get(name) ?? 0) + 1);
        ledger.tell(process.name, () => `${name} is done with ${record.id}`);
      },
    };
  }

  async #behave({ behaviour }: PlannedMessage, runs: number): Promise<void> {
    const { process } = this.#settings;
    switch (behaviour) {
      case 'succeed':
        await process.pause(1);
        return;
      case 'slow':
        await process.pause(2_000);
        return;
      case 'ignore-signal':
        await process.pause(25_000);
        return;
      case 'throw-once':
        await process.pause(1);
        if (runs === 1) throw new Error('once');
        return;
      case 'throw-always':
        throw new Error('always');
      case 'reject':
        throw new Reject('never');
      case 'retry-later':
        await process.pause(1);
        if (runs === 1) throw new RetryLater('later', { delayMs: 700 });
        return;
    }
  }
}
