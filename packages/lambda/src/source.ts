import {
  type Consumer,
  MelangeError,
  MessageDispatcher,
  type MessageDispatcherOptions,
  type MessagingBackend,
  type Ordering,
} from '@melange/core';

/** A service of `defineService`, or whatever makes dispatchers as it does. */
export interface LambdaService {
  /** What it is: which queue is on which backend, and in which order it is processed. */
  readonly plan: {
    readonly queues: readonly {
      readonly name: string;
      readonly backend: string;
      readonly ordering: Ordering;
    }[];
  };
  /** Its backends by name. */
  readonly backends: Readonly<Record<string, MessagingBackend>>;
  /** A dispatcher with the queue's consumers, on another backend. */
  dispatcherFor(queue: string, options: Partial<MessageDispatcherOptions>): MessageDispatcher;
}

/** Consumers without a service, and what their dispatcher is made of. */
export interface LambdaConsumers extends MessageDispatcherOptions {
  /** The broker that the event source reads. */
  readonly backend: MessagingBackend;
  /** Process the messages. */
  readonly consumers: readonly Consumer[];
}

/** Name of a queue of the service; any name where consumers stand alone. */
export type QueueNameOf<Source> = Source extends {
  // biome-ignore lint/suspicious/noExplicitAny: only its first parameter is looked at.
  on(queue: infer Queue extends string, ...rest: any[]): unknown;
}
  ? Queue
  : string;

/** One queue of a service, or of consumers that stand alone. */
export interface Source {
  readonly queue: string;
  /** The broker's own. */
  readonly backend: MessagingBackend;
  readonly ordering: Ordering;
  /** Its consumers, on the backend of one event. */
  dispatcherOn(backend: MessagingBackend, options?: Partial<MessageDispatcherOptions>): MessageDispatcher;
}

/** @throws MelangeError `CONFIGURATION` for a queue that the service does not have. */
export function sourceOf(from: LambdaService | LambdaConsumers, queue: string): Source {
  if (!('dispatcherFor' in from)) return sourceOfConsumers(from, queue);
  const plan = from.plan.queues.find(({ name }) => name === queue);
  const backend = plan && from.backends[plan.backend];
  if (backend === undefined) {
    const known = from.plan.queues.map(({ name }) => name).join(', ');
    throw new MelangeError(
      'CONFIGURATION',
      `The service has no queue "${queue}"; its queues: ${known || 'none'}.`,
    );
  }
  return {
    queue,
    backend,
    ordering: plan?.ordering ?? 'none',
    dispatcherOn: (other, options) => from.dispatcherFor(queue, { ...options, backend: other }),
  };
}

function sourceOfConsumers({ consumers, ...given }: LambdaConsumers, queue: string): Source {
  return {
    queue,
    backend: given.backend,
    ordering: given.ordering ?? 'none',
    dispatcherOn: (backend, options) => {
      const dispatcher = new MessageDispatcher({ ...given, ...options, backend });
      for (const consumer of consumers) dispatcher.attachConsumer(consumer);
      return dispatcher;
    },
  };
}
