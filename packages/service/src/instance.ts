import {
  combineHealth,
  type DispatcherCounters,
  type Health,
  MelangeError,
  type MessageDispatcher,
  type MessageDispatcherOptions,
  type MessagingBackend,
} from '@melange/core';
import type { ServiceDefinition } from './definition.ts';
import type { Environment } from './environment.ts';
import { Processing } from './processing.ts';
import { Publishing } from './publishing.ts';
import type { ServiceHealth, StartOptions } from './service.ts';
import { untilThere } from './until-there.ts';

type State = 'defined' | 'starting' | 'running' | 'stopping' | 'stopped';

/** A definition that runs: topology, dispatchers, and the order in which they start and stop. */
export class ServiceInstance {
  readonly publishing: Publishing;
  readonly ended: Promise<void>;
  readonly #definition: ServiceDefinition;
  readonly #environment: Environment;
  readonly #dispatchers = new Map<string, MessageDispatcher>();
  readonly #loops: Promise<void>[] = [];
  readonly #processing: Processing;
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
    this.#processing = new Processing(definition, environment, this.publishing, this.#stopping.signal);
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
  dispatcherFor(queue: string, options?: Partial<MessageDispatcherOptions>): MessageDispatcher {
    return this.#processing.dispatcherFor(queue, options);
  }

  /** Messages that are processed at this moment, without those that flow control holds. */
  get running(): number {
    let running = -this.#processing.held;
    for (const dispatcher of this.#dispatchers.values()) running += dispatcher.running;
    return running;
  }

  get dispatchers(): Readonly<Record<string, MessageDispatcher>> {
    return Object.fromEntries(this.#dispatchers);
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
        [...this.#dispatchers].map(([queue, dispatcher]) => [
          queue,
          { health: () => this.#processing.healthOf(queue, dispatcher) },
        ]),
      ),
    ]);
    const parts: Record<string, Health> = { service: this.#healthOfState() };
    for (const [name, health] of Object.entries(ofBackends)) parts[`backend "${name}"`] = health;
    for (const [name, health] of Object.entries(ofQueues)) parts[`queue "${name}"`] = health;
    return { ...combineHealth(parts), queues: ofQueues, backends: ofBackends };
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
