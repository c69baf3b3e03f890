import {
  type ConsumeContext,
  combineHealth,
  type Handler,
  type Health,
  MessageDispatcher,
  type MessageDispatcherOptions,
  type MessagingBackend,
  SingleDispatchConsumer,
  systemClock,
} from '@melange/core';
import { Batcher } from './batch/batcher.ts';
import { MessagesContext } from './batch/service-batch-context.ts';
import type { AnyBatchHandler, AnyHandler, ServiceDefinition } from './definition.ts';
import type { Environment } from './environment.ts';
import type { FlowControl, StartedFlowControl } from './flow/flow-control.ts';
import { MessageContext } from './handler-context.ts';
import type { Publishing } from './publishing.ts';

/** How the messages of each queue are processed: dispatchers with handlers and flow control. */
export class Processing {
  readonly #definition: ServiceDefinition;
  readonly #environment: Environment;
  readonly #publishing: Publishing;
  /** Aborted when the service stops. */
  readonly #stopping: AbortSignal;
  /** Begun once, also where several queues share it. */
  readonly #flow = new Map<FlowControl, StartedFlowControl>();

  constructor(
    definition: ServiceDefinition,
    environment: Environment,
    publishing: Publishing,
    stopping: AbortSignal,
  ) {
    this.#definition = definition;
    this.#environment = environment;
    this.#publishing = publishing;
    this.#stopping = stopping;
  }

  /** Messages that flow control holds. */
  get held(): number {
    let held = 0;
    for (const flow of this.#flow.values()) held += flow.held;
    return held;
  }

  /** @throws MelangeError `CONFIGURATION` for a queue that is not declared. */
  dispatcherFor(queue: string, options: Partial<MessageDispatcherOptions> = {}): MessageDispatcher {
    const definition = this.#definition;
    const { declaration } = definition;
    const { consumers = [], deduplication, retry, middleware = [], ...declared } = definition.queue(queue);
    const { cache, logger, clock, dispatcherOptions } = this.#environment;
    const dispatcher = new MessageDispatcher({
      ...given({
        unhandled: declared.unhandled,
        maxRedeliveries: declared.maxRedeliveries,
        handlerTimeoutMs: declared.handlerTimeoutMs,
        alwaysAck: declared.alwaysAck,
        earlyAck: declared.earlyAck,
        ordering: declared.ordering,
        cache,
        deduplication: deduplication ?? declaration.deduplication,
        retry: retry ?? declaration.retry,
      }),
      serializers: definition.messages.registry,
      backend: this.#environment.backends[definition.backendOf(queue)] as MessagingBackend,
      concurrency: definition.concurrencyOf(queue),
      middleware: [
        ...this.#flowOf(queue).map((flow) => flow.middleware),
        ...(declaration.middleware ?? []),
        ...middleware,
      ],
      logger,
      clock,
      ...dispatcherOptions,
      ...options,
    });
    const handlers = definition.handlersOf(queue);
    if (handlers.size > 0) {
      const consumer = new SingleDispatchConsumer(definition.name);
      for (const [type, handler] of handlers) consumer.on(type, this.#handlerOf(queue, handler));
      dispatcher.attachConsumer(consumer);
    }
    for (const consumer of consumers) dispatcher.attachConsumer(consumer);
    return dispatcher;
  }

  /** Outermost first: what waits for its rate is not what tries whether a circuit may close. */
  #flowOf(queue: string): readonly StartedFlowControl[] {
    const { rateLimit, circuitBreaker } = this.#definition.queue(queue);
    return [rateLimit, circuitBreaker].flatMap((flow) => (flow === undefined ? [] : [this.#started(flow)]));
  }

  #started(flow: FlowControl): StartedFlowControl {
    const { clock, logger, flow: more } = this.#environment;
    const signal = this.#stopping;
    const started = this.#flow.get(flow) ?? flow.start({ clock, logger, signal, ...more });
    this.#flow.set(flow, started);
    return started;
  }

  #handlerOf(queue: string, handler: AnyHandler | AnyBatchHandler): Handler<object> {
    const publishing = this.#publishing;
    const { logger, wait = systemClock.schedule } = this.#environment;
    const contextOf = (context: ConsumeContext) => new MessageContext(queue, context, publishing, logger);
    if (typeof handler === 'function')
      return (message, context) => handler(message as never, contextOf(context));
    const batcher = new Batcher(handler.options, wait, (messages, contexts) =>
      handler.handle(messages, new MessagesContext(queue, contexts.map(contextOf), publishing, logger)),
    );
    return (message, context) => batcher.add(message as never, context);
  }

  /** Of a queue: of its dispatcher and its flow control. */
  async healthOf(queue: string, dispatcher: MessageDispatcher): Promise<Health> {
    const { rateLimit, circuitBreaker } = this.#definition.queue(queue);
    return combineHealth({
      dispatcher: await dispatcher.health(),
      ...(rateLimit && { 'rate limit': this.#started(rateLimit).health() }),
      ...(circuitBreaker && { 'circuit breaker': this.#started(circuitBreaker).health() }),
    });
  }
}

/** The options that are given; none that is undefined. */
function given<Options extends object>(
  options: Options,
): { [Name in keyof Options]: Exclude<Options[Name], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as never;
}
