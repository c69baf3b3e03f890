import type { PullDriver, SubscriptionContext } from '@melange/backend-kit';
import { AttemptMemory } from './attempt-memory.ts';
import type { Held } from './held.ts';
import { ReceivedElsewhere } from './received-elsewhere.ts';
import { Source, type SourceSettings } from './source.ts';
import { Visibilities } from './visibilities.ts';

/** Receives from queues, and settles what was received here or elsewhere. */
export class Consuming implements PullDriver<Held> {
  readonly kind = 'pull';
  readonly #settings: SourceSettings;
  /** By the name of the queue. */
  readonly #memories = new Map<string, AttemptMemory>();

  constructor(settings: SourceSettings) {
    this.#settings = settings;
  }

  open(context: SubscriptionContext & { wake(): void }): Source {
    return new Source(this.#settings, { ...context, memory: this.#memoryOf(context.queue) });
  }

  receivedElsewhere(queue: string): ReceivedElsewhere {
    const { sqs, queues, context, deadLetters } = this.#settings;
    const visibilities = new Visibilities(sqs, () => queues.urlOf(queue), context.clock);
    const memory = this.#memoryOf(queue);
    return new ReceivedElsewhere(queue, { sqs, queues, context, deadLetters, visibilities, memory });
  }

  #memoryOf(queue: string): AttemptMemory {
    const memory = this.#memories.get(queue) ?? new AttemptMemory();
    this.#memories.set(queue, memory);
    return memory;
  }
}
