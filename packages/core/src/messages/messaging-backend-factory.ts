import type { MessagingBackend, QueueOptions } from '../contract/backend.ts';
import { BackendManager } from '../contract/backend-manager.ts';
import { type MessageClass, manifestsOf } from './message-type.ts';

/** As the options of the backend's own `declareQueue`, with message classes beside manifests in the filter. */
export type InitQueueOptions<Options extends QueueOptions = QueueOptions> = Omit<Options, 'filter'> & {
  /** Manifests or message classes, with the earlier forms that they read, that the queue wants from its topics. Default: all. */
  readonly filter?: readonly (string | MessageClass)[];
};

/** What a backend takes to declare a queue: its own settings included. */
type QueueOptionsOf<Backend extends MessagingBackend> = NonNullable<Parameters<Backend['declareQueue']>[1]>;

/** Makes an application's topology at startup. Everything is idempotent. */
export class MessagingBackendFactory<Backend extends MessagingBackend = MessagingBackend> {
  readonly #backend: MessagingBackend;

  /** @param backend default: that of `BackendManager`. */
  constructor(backend?: Backend) {
    this.#backend = backend ?? BackendManager.getDefaultBackend();
  }

  /** Makes a topic. */
  async initTopic(name: string): Promise<void> {
    await this.#backend.declareTopic(name);
  }

  /** Makes a queue with its topics and its dead-letter queue. */
  async initQueue(
    name: string,
    options: InitQueueOptions<QueueOptionsOf<Backend>> = {} as InitQueueOptions<QueueOptionsOf<Backend>>,
  ): Promise<void> {
    const { filter, ...settings } = options as InitQueueOptions;
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
