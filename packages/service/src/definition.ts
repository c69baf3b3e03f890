import {
  type MaybePromise,
  MelangeError,
  type MessageClass,
  type MessagingBackend,
  manifestsOf,
  type QueueOptions,
} from '@melange/core';
import { type BatchAnswer, Batcher, type BatchOptions } from './batch/batcher.ts';
import type {
  BoundSend,
  BoundTopic,
  QueueDeclaration,
  SendDeclaration,
  ServiceDeclaration,
  TopicDeclaration,
} from './declaration.ts';
import { MessageClasses } from './message-classes.ts';
import type { HandlerContext, ServiceBatchContext } from './service.ts';

/** A handler of `on`, whatever its type. */
export type AnyHandler = (message: never, context: HandlerContext) => MaybePromise<void>;

/** A handler of `onBatch`, whatever its type. */
export interface AnyBatchHandler {
  readonly options: BatchOptions;
  readonly handle: (messages: readonly never[], context: ServiceBatchContext) => MaybePromise<BatchAnswer>;
}

/** Name of the backend of a service that has one. */
export const onlyBackend = 'default';

const defaultConcurrency = 10;

/** What a service is: its declaration, resolved and checked, and its handlers. Shared by the service and its tests. */
export class ServiceDefinition {
  readonly declaration: ServiceDeclaration;
  readonly backends: Readonly<Record<string, MessagingBackend>>;
  readonly messages: MessageClasses;
  readonly #handlers = new Map<string, Map<MessageClass, AnyHandler | AnyBatchHandler>>();
  #isFixed = false;

  /** @throws MelangeError `CONFIGURATION` for what does not fit together. */
  constructor(declaration: ServiceDeclaration) {
    this.declaration = declaration;
    const { backend } = declaration;
    this.backends = isBackend(backend) ? { [onlyBackend]: backend } : backend;
    this.messages = new MessageClasses(declaration);
    this.#check();
  }

  get name(): string {
    return this.declaration.name;
  }

  get queues(): readonly string[] {
    return Object.keys(this.declaration.queues ?? {});
  }

  /** Those that it publishes to. */
  get topics(): readonly string[] {
    return Object.keys(this.declaration.publishes ?? {});
  }

  /** Queues that it sends to. */
  get sends(): readonly string[] {
    return Object.keys(this.declaration.sends ?? {});
  }

  /** @throws MelangeError `CONFIGURATION` as `Service.on` does. */
  on(queue: string, type: MessageClass, handler: AnyHandler | AnyBatchHandler): void {
    const { ordering } = this.queue(queue);
    const handlers = this.handlersOf(queue);
    if (this.#isFixed)
      throw this.#error(`it was started: give "${queue}" its handler for ${type.name} before.`);
    if (handlers.has(type)) throw this.#error(`"${queue}" has a handler for ${type.name} already.`);
    if (this.messages.extending(type).length === 0)
      throw this.#error(`${type.name}, handled on "${queue}", is not among its messages: add it there.`);
    if (typeof handler === 'object') {
      if (ordering === 'queue')
        throw this.#error(
          `"${queue}" hands over one message at a time, as its ordering is "queue": no batches.`,
        );
      // Numbers that make no sense are told now.
      new Batcher(
        handler.options,
        () => () => undefined,
        () => undefined,
      );
    }
    handlers.set(type, handler);
    this.#handlers.set(queue, handlers);
  }

  /** From now on it has the handlers that it has. */
  fix(): void {
    this.#isFixed = true;
  }

  /** @throws MelangeError `CONFIGURATION` for a queue that is not declared. */
  queue(name: string): QueueDeclaration {
    const queue = own(this.declaration.queues, name);
    if (queue !== undefined) return queue;
    throw this.#error(`it has no queue "${name}"; its queues: ${this.queues.join(', ') || 'none'}.`);
  }

  handlersOf(queue: string): Map<MessageClass, AnyHandler | AnyBatchHandler> {
    return this.#handlers.get(queue) ?? new Map();
  }

  concurrencyOf(queue: string): number {
    const handlers = [...this.handlersOf(queue).values()];
    const inBatches = handlers.map((handler) =>
      typeof handler === 'object' ? handler.options.maxMessages : 0,
    );
    return this.queue(queue).concurrency ?? Math.max(defaultConcurrency, ...inBatches);
  }

  /** Where a queue lives. */
  backendOf(queue: string): string {
    return this.#placeOf(queue, this.queue(queue).backend, 'queue');
  }

  /**
   * The classes that a topic carries, and the backends that it is on.
   *
   * @throws MelangeError `CONFIGURATION` for a topic that is not declared.
   */
  topic(name: string): { readonly messages: readonly MessageClass[]; readonly backends: readonly string[] } {
    const topic = own(this.declaration.publishes, name);
    if (topic === undefined)
      throw this.#error(`it does not publish to "${name}": add it to \`publishes\`, with its messages.`);
    const { messages, backend } = entryOf<TopicDeclaration, BoundTopic>(topic);
    const several = typeof backend === 'object' ? backend : [backend];
    return { messages, backends: several.map((place) => this.#placeOf(name, place, 'topic')) };
  }

  /**
   * The classes that are sent to a queue, and its backend.
   *
   * @throws MelangeError `CONFIGURATION` for a queue that is not declared.
   */
  send(name: string): { readonly messages: readonly MessageClass[]; readonly backends: readonly string[] } {
    const send = own(this.declaration.sends, name);
    if (send === undefined)
      throw this.#error(`it does not send to "${name}": add it to \`sends\`, with its messages.`);
    const { messages, backend } = entryOf<SendDeclaration, BoundSend>(send);
    return { messages, backends: [this.#placeOf(name, backend, 'queue')] };
  }

  /** The topics on a backend that it publishes to. Those of its queues are declared with the queues. */
  topicsOn(backend: string): readonly string[] {
    return this.topics.filter((topic) => this.topic(topic).backends.includes(backend));
  }

  queuesOn(backend: string): readonly string[] {
    return this.queues.filter((queue) => this.backendOf(queue) === backend);
  }

  /** How a queue is declared at its broker. */
  queueOptions(name: string): QueueOptions {
    const { topics, deadLetterQueue, settings } = this.queue(name);
    const filter = this.filterOf(name);
    return {
      ...settings,
      ...(topics !== undefined && { topics }),
      ...(filter !== undefined && { filter }),
      ...(deadLetterQueue !== undefined && { deadLetterQueue }),
    };
  }

  /** Manifests that a queue wants from its topics; `undefined`: all. */
  filterOf(name: string): readonly string[] | undefined {
    const { topics = [], filter, consumers = [] } = this.queue(name);
    if (filter === 'all' || topics.length === 0) return undefined;
    if (filter !== undefined) {
      return [
        ...new Set(
          filter.flatMap((entry) =>
            typeof entry === 'string' ? [entry] : (this.messages.manifestsOf(entry) ?? manifestsOf(entry)),
          ),
        ),
      ];
    }
    const handled = [...this.handlersOf(name).keys()];
    if (consumers.length > 0 || handled.length === 0) return undefined;
    const wanted = handled
      .flatMap((type) => this.messages.extending(type))
      .map((type) => this.messages.manifestsOf(type));
    // Whose manifest nobody knows would be filtered away.
    return wanted.includes(undefined) ? undefined : [...new Set(wanted.flat() as string[])];
  }

  #placeOf(name: string, given: string | undefined, what: string): string {
    const place = given ?? [name, onlyBackend].find((candidate) => Object.hasOwn(this.backends, candidate));
    if (place !== undefined && Object.hasOwn(this.backends, place)) return place;
    const known = Object.keys(this.backends).join(', ');
    throw this.#error(
      given === undefined
        ? `say on which backend the ${what} "${name}" is; its backends: ${known}.`
        : `the ${what} "${name}" is on the backend "${given}", which it does not have; its backends: ${known}.`,
    );
  }

  #check(): void {
    if (this.name === '') throw new MelangeError('CONFIGURATION', 'A service needs a name.');
    for (const queue of this.queues) {
      this.backendOf(queue);
      for (const { name } of this.queue(queue).consumers ?? [])
        if (name === this.name)
          throw this.#error(`a consumer of "${queue}" has the service's own name: give it another one.`);
    }
    const destinations = [
      ...this.topics.map((name) => ({ name, ...this.topic(name) })),
      ...this.sends.map((name) => ({ name, ...this.send(name) })),
    ];
    for (const { name, messages } of destinations) {
      const unknown = messages.find((type) => !this.messages.all.includes(type));
      if (unknown !== undefined)
        throw this.#error(
          `${unknown.name}, published to "${name}", is not among its messages: add it there.`,
        );
    }
  }

  #error(what: string): MelangeError {
    return new MelangeError('CONFIGURATION', `Service "${this.name}": ${what}`);
  }
}

function isBackend(backend: ServiceDeclaration['backend']): backend is MessagingBackend {
  return typeof (backend as MessagingBackend).publishToQueue === 'function';
}

function own<Value>(record: Readonly<Record<string, Value>> | undefined, name: string): Value | undefined {
  return record !== undefined && Object.hasOwn(record, name) ? record[name] : undefined;
}

function entryOf<Entry extends readonly MessageClass[] | Bound, Bound extends object>(
  entry: Entry | Bound,
): Bound {
  return (Array.isArray(entry) ? { messages: entry } : entry) as Bound;
}
