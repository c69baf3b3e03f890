import type { Logger } from '@melange/core';
import type { Publishing } from '../publishing.ts';
import type { HandlerContext, ServiceBatchContext, ServicePublishing } from '../service.ts';
import { signalOfAll } from './batcher.ts';

/** What a batch handler of a service is given. */
export class MessagesContext implements ServiceBatchContext {
  readonly queue: string;
  readonly contexts: readonly HandlerContext[];
  readonly logger: Logger;
  readonly publish: ServicePublishing['publish'];
  readonly publishBatch: ServicePublishing['publishBatch'];
  readonly send: ServicePublishing['send'];
  readonly sendBatch: ServicePublishing['sendBatch'];
  #signal: AbortSignal | undefined;

  constructor(queue: string, contexts: readonly HandlerContext[], publishing: Publishing, logger: Logger) {
    this.queue = queue;
    this.contexts = contexts;
    this.logger = logger;
    const { publish, publishBatch, send, sendBatch } = publishing.because();
    this.publish = publish;
    this.publishBatch = publishBatch;
    this.send = send;
    this.sendBatch = sendBatch;
  }

  get signal(): AbortSignal {
    this.#signal ??= signalOfAll(this.contexts);
    return this.#signal;
  }
}
