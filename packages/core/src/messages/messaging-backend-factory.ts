import type { MessagingBackend, QueueOptions } from '../contract/backend.ts';
import { BackendManager } from '../contract/backend-manager.ts';
import { type MessageClass, manifestsOf } from './message-type.ts';

/** The options of the backend's own `declareQueue`, and message classes besides manifests in `filter`. */
export type InitQueueOptions<Options extends QueueOptions = QueueOptions> = Omit<Options, 'filter'> & {
  /**
   * Messages that the queue wants from its topics: manifests, or message classes with the earlier forms that they read. `'all'`
   * takes every message, those of foreign publishers without a manifest included. Default: `'all'`.
   */
  readonly filter?: 'all' | readonly (string | MessageClass)[];
};

/** What a backend takes to declare a queue: its own settings included. */
type QueueOptionsOf<Backend extends MessagingBackend> = NonNullable<Parameters<Backend['declareQueue']>[1]>;

/** Declares an application's queues and topics at startup. Every method is idempotent. */
export class MessagingBackendFactory<Backend extends MessagingBackend = MessagingBackend> {
  readonly #backend: MessagingBackend;

  /** @param backend default: that of `BackendManager`. */
  constructor(backend?: Backend) {
    this.#backend = backend ?? BackendManager.getDefaultBackend();
  }

  /** Declares a topic. */
  async initTopic(name: string): Promise<void> {
    await this.#backend.declareTopic(name);
  }

  /** Declares a queue with its topics and its dead-letter queue. */
  async initQueue(
    name: string,
    options: InitQueueOptions<QueueOptionsOf<Backend>> = {} as InitQueueOptions<QueueOptionsOf<Backend>>,
  ): Promise<void> {
    const { filter, ...settings } = options as InitQueueOptions;
    const manifests =
      filter === undefined || filter === 'all'
        ? undefined
        : filter.flatMap((entry) => (typeof entry === 'string' ? entry : manifestsOf(entry)));
    await this.#backend.declareQueue(name, manifests ? { ...settings, filter: manifests } : settings);
  }
}
