import { exponentialBackoff, type MessagingBackend, type RetryPolicy, silentLogger } from '@melange/core';
import { MemoryDeduplicationCache } from '@melange/dedup-memory';
import type { Ledger } from './ledger.ts';

/** Names of the queues of one run: several runs share a broker without meeting. */
export interface QueueNames {
  readonly orders: string;
  readonly payments: string;
  readonly saga: string;
}

/** The queues of a run, by names that every broker takes. */
export function queueNames(runId: string): QueueNames {
  return { orders: `${runId}-orders`, payments: `${runId}-payments`, saga: `${runId}-saga` };
}

/** Where a queue's failures end. */
export function deadLetterQueueOf(queue: string): string {
  return `${queue}-dead`;
}

/** The backend of each service, where its queue lives. */
export type Backends = Readonly<Record<keyof QueueNames, MessagingBackend>>;

/** What the services of a run are given. */
export interface Setting {
  readonly backends: Backends;
  readonly queues: QueueNames;
  readonly ledger: Ledger;
  /** Share of the payments that fail and are tried again, 0 to 1. */
  readonly failureRate: number;
}

const retry: RetryPolicy = exponentialBackoff({ firstDelayMs: 50, longestDelayMs: 1_000, maxAttempts: 20 });

/** What the declarations of all services say: one consumes from the queue of its own, with retries and a cache. */
export function declarationOf(service: keyof QueueNames, { backends, queues }: Setting) {
  const queue = queues[service];
  return {
    ...sharing(backends),
    cache: new MemoryDeduplicationCache(),
    queues: {
      [queue]: { backend: service, deadLetterQueue: deadLetterQueueOf(queue), concurrency: 50, retry },
    },
  };
}

/** What the declarations of everybody at work say. */
export function sharing(backends: Backends) {
  return {
    backend: backends,
    closesResources: false, // services of one broker share its backend
    // Declined payments are the point of this example; the table counts them.
    logger: silentLogger,
  };
}

/**
 * The id of a message that follows from another one: a handler that runs again sends a duplicate that the receiver
 * recognises.
 */
export function following(cause: { readonly messageId: string }, message: object): { readonly id: string } {
  return { id: `${cause.messageId}/${message.constructor.name}` };
}
