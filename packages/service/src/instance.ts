import {
  type Clock,
  type ConsumeContext,
  type ConsumeOptions,
  combineHealth,
  type DeduplicationCache,
  type DispatcherCounters,
  type Handler,
  type Health,
  type Logger,
  MelangeError,
  MessageDispatcher,
  type MessageDispatcherOptions,
  type MessagingBackend,
  SingleDispatchConsumer,
  systemClock,
} from '@melange/core';
import { Batcher, type Wait } from './batch/batcher.ts';
import { MessagesContext } from './batch/service-batch-context.ts';
import type { AnyBatchHandler, AnyHandler, ServiceDefinition } from './definition.ts';
import type { FlowControl, FlowEnvironment, StartedFlowControl } from './flow/flow-control.ts';
import { MessageContext } from './handler-context.ts';
import { Publishing } from './publishing.ts';
import type { ServiceHealth, StartOptions } from './service.ts';
import { untilThere } from './until-there.ts';

/** What a definition is run on: the declared backends, or those of a test. */
export interface Environment {
  readonly backends: Readonly<Record<string, MessagingBackend>>;
  readonly cache: DeduplicationCache | undefined;
  readonly logger: Logger;
  readonly clock: Clock;
  /** What flow control is given besides. */
  readonly flow?: Pick<FlowEnvironment, 'limiter' | 'onHeld'>;
  /** How batches wait for more messages. Default: the machine's time. */
  readonly wait?: Wait;
  /** What every dispatcher is given besides. */
  readonly dispatcherOptions?: Partial<MessageDispatcherOptions>;
  /** What accompanies every consumption. */
  readonly consumeOptions?: Pick<ConsumeOptions, 'onException' | 'afterConsume'>;
  /** How long running handlers are waited for, in ms. */
  readonly deadlineMs: number;
  /** Whether backends and cache are closed with it. */
  readonly closesResources: boolean;
}

type State = 'defined' | 'starting' | 'running' | 'stopping' | 'stopped';

/** A definition that runs: topology, dispatchers, and the order in which they start and stop. */
export class ServiceInstance {
  readonly publishing: Publishing;
  readonly ended: Promise<void>;
  readonly #definition: ServiceDefinition;
  readonly #environment: Environment;
  readonly #dispatchers = new Map<string, MessageDispatcher>();
  readonly #loops: Promise<void>[] = [];
  /** Begun once, also where several queues share it. */
  readonly #flow = new Map<FlowControl, StartedFlowControl>();
  readonly #stopping = new AbortController();
  #state: State = 'defined';
  #starting: Promise<void> | undefined;
  #stopped: Promise<void> | undefined;
  #resolveEnded: () => void = () => undefined;
  #rejectEnded: (error: unknown) => void = () => undefined;

  constructor(definition: ServiceDefinition, environment: Environment) {
    this.#definition = definition;
    this.#environment = environment;
    this.publishing = new Publishing(definition, environment.backends, environment.clock);
    this.ended = new Promise((resolve, reject) => {
      this.#resolveEnded = resolve;
      this.#rejectEnded = reject;
    });
    // Whoever does not look at `ended` must not crash by it.
    this.ended.catch(() => undefined);
  }

  async start(options: StartOptions = {}): Promise<void> {
    if (this.#state === 'stopping' || this.#state === 'stopped') throw closed(this.#definition.name);
    this.#starting ??= this.#start(options);
    await this.#starting;
  }

  stop(options: { readonly deadlineMs?: number } = {}): Promise<void> {
    this.#stopped ??= this.#stop(options.deadlineMs ?? this.#environment.deadlineMs);
    return this.#stopped;
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
        handlerTimeoutMs: declared.handlerTimeoutMs,
        alwaysAck: declared.alwaysAck,
        earlyAck: declared.earlyAck,
        ordering: declared.ordering,
        cache,
        deduplication: deduplication ?? declaration.deduplication,
        retry: retry ?? declaration.retry,
      }),
      serializers: definition.serializers,
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
    const { signal } = this.#stopping;
    const started = this.#flow.get(flow) ?? flow.start({ clock, logger, signal, ...more });
    this.#flow.set(flow, started);
    return started;
  }

  #handlerOf(queue: string, handler: AnyHandler | AnyBatchHandler): Handler<object> {
    const { publishing } = this;
    const { logger, wait = systemClock.schedule } = this.#environment;
    const contextOf = (context: ConsumeContext) => new MessageContext(queue, context, publishing, logger);
    if (typeof handler === 'function')
      return (message, context) => handler(message as never, contextOf(context));
    const batcher = new Batcher(handler.options, wait, (messages, contexts) =>
      handler.handle(messages, new MessagesContext(queue, contexts.map(contextOf), publishing, logger)),
    );
    return (message, context) => batcher.add(message as never, context);
  }

  /** Messages that are processed at this moment, without those that flow control holds. */
  get running(): number {
    let running = 0;
    for (const { held } of this.#flow.values()) running -= held;
    for (const dispatcher of this.#dispatchers.values()) running += dispatcher.running;
    return running;
  }

  counters(): Readonly<Record<string, DispatcherCounters>> {
    return Object.fromEntries(
      [...this.#dispatchers].map(([queue, { counters }]) => [queue, { ...counters }]),
    );
  }

  async health(): Promise<ServiceHealth> {
    const { backends } = this.#environment;
    const [ofBackends, ofQueues] = await Promise.all([
      healthOfEach(Object.entries(backends)),
      healthOfEach(
        [...this.#dispatchers].map(([queue, dispatcher]) => [queue, this.#partsOf(queue, dispatcher)]),
      ),
    ]);
    const parts: Record<string, Health> = { service: this.#healthOfState() };
    for (const [name, health] of Object.entries(ofBackends)) parts[`backend "${name}"`] = health;
    for (const [name, health] of Object.entries(ofQueues)) parts[`queue "${name}"`] = health;
    return { ...combineHealth(parts), queues: ofQueues, backends: ofBackends };
  }

  #partsOf(queue: string, dispatcher: MessageDispatcher): { health(): Promise<Health> } {
    const health = async (): Promise<Health> => {
      const { rateLimit, circuitBreaker } = this.#definition.queue(queue);
      return combineHealth({
        dispatcher: await dispatcher.health(),
        ...(rateLimit && { 'rate limit': this.#started(rateLimit).health() }),
        ...(circuitBreaker && { 'circuit breaker': this.#started(circuitBreaker).health() }),
      });
    };
    return { health };
  }

  #healthOfState(): Health {
    switch (this.#state) {
      case 'running':
        return { status: 'healthy' };
      case 'starting':
        return { status: 'unhealthy', detail: 'starting' };
      case 'defined':
        return { status: 'unhealthy', detail: 'not started' };
      default:
        return { status: 'unhealthy', detail: 'stopping' };
    }
  }

  async #start({ failFast = false, signal }: StartOptions): Promise<void> {
    this.#state = 'starting';
    const stop = (): void => this.#stopping.abort(signal?.reason);
    signal?.addEventListener('abort', stop, { once: true });
    if (signal?.aborted === true) stop();
    try {
      const names = Object.keys(this.#environment.backends);
      await Promise.all(names.map((name) => this.#startOn(name, failFast)));
      this.#stopping.signal.throwIfAborted();
      this.#state = 'running';
    } catch (error) {
      void this.stop();
      await this.#stopped;
      throw error;
    } finally {
      signal?.removeEventListener('abort', stop);
    }
  }

  /** A queue whose broker is there does not wait for other brokers. */
  async #startOn(name: string, failFast: boolean): Promise<void> {
    await this.#untilThere(name, () => this.#declareOn(name), failFast);
    for (const queue of this.#definition.queuesOn(name)) {
      if (this.#stopping.signal.aborted) return;
      const dispatcher = this.dispatcherFor(queue);
      this.#dispatchers.set(queue, dispatcher);
      const loop = this.#consume(queue, name, dispatcher);
      loop.catch((error: unknown) => this.#rejectEnded(error));
      this.#loops.push(loop);
    }
  }

  async #declareOn(name: string): Promise<void> {
    const backend = this.#environment.backends[name] as MessagingBackend;
    await Promise.all(this.#definition.topicsOn(name).map((topic) => backend.declareTopic(topic)));
    for (const queue of this.#definition.queuesOn(name)) {
      await backend.declareQueue(queue, this.#definition.queueOptions(queue));
    }
  }

  /** A broker that goes away between the declaration and the subscription is waited for as well. */
  async #consume(queue: string, name: string, dispatcher: MessageDispatcher): Promise<void> {
    for (;;) {
      try {
        await dispatcher.consumeLoop(queue, this.#environment.consumeOptions);
        return;
      } catch (error) {
        if (this.#stopping.signal.aborted) return;
        if (!MelangeError.is(error, 'BROKER_UNAVAILABLE')) throw error;
      }
      const backend = this.#environment.backends[name] as MessagingBackend;
      try {
        await this.#untilThere(name, () => backend.describeQueue(queue), false);
      } catch (error) {
        if (this.#stopping.signal.aborted) return;
        throw error;
      }
    }
  }

  async #untilThere<Result>(
    name: string,
    attempt: () => Promise<Result>,
    failFast: boolean,
  ): Promise<Result> {
    const { backends, logger, clock } = this.#environment;
    if (failFast) return attempt();
    const broker = `${backends[name]?.name} (backend "${name}")`;
    return untilThere(attempt, { broker, logger, clock, signal: this.#stopping.signal });
  }

  /** Intake ends first, and what handlers publish meanwhile still goes out; then what they used. */
  async #stop(deadlineMs: number): Promise<void> {
    this.#state = 'stopping';
    this.#stopping.abort(closed(this.#definition.name));
    await Promise.all([...this.#dispatchers.values()].map((dispatcher) => dispatcher.close({ deadlineMs })));
    await Promise.allSettled(this.#loops);
    if (this.#environment.closesResources) await this.#closeResources();
    this.#state = 'stopped';
    this.#resolveEnded();
  }

  async #closeResources(): Promise<void> {
    const { backends, cache, logger } = this.#environment;
    const close = async (what: string, resource: { close(): unknown } | undefined): Promise<void> => {
      try {
        await resource?.close();
      } catch (error) {
        logger.error(`could not close ${what}`, { error });
      }
    };
    await Promise.all(Object.entries(backends).map(([name, backend]) => close(`backend "${name}"`, backend)));
    await close('the cache', cache);
  }
}

/** The options that are given; none that is undefined. */
function given<Options extends object>(
  options: Options,
): { [Name in keyof Options]: Exclude<Options[Name], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as never;
}

async function healthOfEach(
  parts: readonly (readonly [string, { health(): Promise<Health> }])[],
): Promise<Readonly<Record<string, Health>>> {
  const each = parts.map(async ([name, part]): Promise<[string, Health]> => {
    try {
      const { status, detail } = await part.health();
      return [name, detail === undefined ? { status } : { status, detail }];
    } catch (error) {
      return [name, { status: 'unhealthy', detail: error instanceof Error ? error.message : String(error) }];
    }
  });
  return Object.fromEntries(await Promise.all(each));
}

function closed(name: string): MelangeError {
  return new MelangeError('CLOSED', `Service "${name}" was stopped.`);
}
