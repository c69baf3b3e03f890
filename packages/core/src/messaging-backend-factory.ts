import type { MessagingBackend, QueueOptions } from './backend.ts';
import { BackendManager } from './backend-manager.ts';
import { type MessageClass, manifestsOf } from './message-type.ts';

/** As `QueueOptions`, with message classes beside manifests in the filter. */
export interface InitQueueOptions extends Omit<QueueOptions, 'filter'> {
  /** Manifests or message classes, with the earlier forms that they read, that the queue wants from its topics. Default: all. */
  readonly filter?: readonly (string | MessageClass)[];
}

/** Makes an application's topology at startup. Everything is idempotent. */
export class MessagingBackendFactory {
  readonly #backend: MessagingBackend;

  /** @param backend default: that of `BackendManager`. */
  constructor(backend?: MessagingBackend) {
    this.#backend = backend ?? BackendManager.getDefaultBackend();
  }

  /** Makes a topic. */
  async initTopic(name: string): Promise<void> {
    await this.#backend.declareTopic(name);
  }

  /** Makes a queue with its topics and its dead-letter queue. */
  async initQueue(name: string, options: InitQueueOptions = {}): Promise<void> {
    const { filter, ...settings } = options;
    await this.#backend.declareQueue(
      name,
      filter === undefined
        ? settings
        : {
            ...settings,
            filter: filter.flatMap((entry) => (typeof entry === 'string' ? [entry] : manifestsOf(entry))),
          },
    );
  }
}
