import {
  type DispatcherCounters,
  type MessageClass,
  type MessageDispatcher,
  type MessageDispatcherOptions,
  type MessagingBackend,
  type SerializerRegistry,
  systemClock,
} from '@melange/core';
import { unfailingLogger } from '@melange/core/adapter';
import type { BatchOptions } from './batch/batcher.ts';
import { consoleLogger } from './console-logger.ts';
import type { ServiceDeclaration } from './declaration.ts';
import { type AnyBatchHandler, type AnyHandler, ServiceDefinition } from './definition.ts';
import { ServiceInstance } from './instance.ts';
import { planOf } from './plan.ts';
import { runUntilStopped } from './run.ts';
import type {
  AnyService,
  RunOptions,
  Service,
  ServiceHealth,
  ServicePublishing,
  StartOptions,
  StopOptions,
} from './service.ts';
import type { ServicePlan } from './service-plan.ts';
import type { Checked, ShapeOf } from './shape.ts';
import type { ServiceTest, ServiceTestOptions } from './testing/service-test.ts';

const defaultDeadlineMs = 25_000;

/**
 * Declares a service: what it reads and publishes, where, and how. Names of queues, topics and messages are checked by the
 * compiler from then on. Nothing is connected before `start` or `run`.
 *
 * @throws MelangeError `CONFIGURATION` for what does not fit together and the compiler could not see.
 */
export function defineService<const Declaration extends ServiceDeclaration>(
  declaration: Declaration & Checked<Declaration>,
): Service<ShapeOf<Declaration>> {
  // What `on` answers has a type of its own each time, and is the same service.
  return new DefinedService(new ServiceDefinition(declaration)) as unknown as Service<ShapeOf<Declaration>>;
}

class DefinedService implements AnyService {
  readonly publishing: ServicePublishing;
  readonly publish: ServicePublishing['publish'];
  readonly publishBatch: ServicePublishing['publishBatch'];
  readonly send: ServicePublishing['send'];
  readonly sendBatch: ServicePublishing['sendBatch'];
  readonly #definition: ServiceDefinition;
  readonly #instance: ServiceInstance;

  constructor(definition: ServiceDefinition) {
    const { logger, cache, deadlineMs, closesResources } = definition.declaration;
    this.#definition = definition;
    this.#instance = new ServiceInstance(definition, {
      backends: definition.backends,
      cache,
      logger: unfailingLogger(logger ?? consoleLogger(definition.name)),
      clock: systemClock,
      deadlineMs: deadlineMs ?? defaultDeadlineMs,
      closesResources: closesResources ?? true,
    });
    this.publishing = this.#instance.publishing.because();
    this.publish = this.publishing.publish;
    this.publishBatch = this.publishing.publishBatch;
    this.send = this.publishing.send;
    this.sendBatch = this.publishing.sendBatch;
  }

  get name(): string {
    return this.#definition.name;
  }

  get plan(): ServicePlan {
    return planOf(this.#definition);
  }

  get messages(): readonly MessageClass[] {
    return this.#definition.declaration.messages;
  }

  get serializers(): SerializerRegistry {
    return this.#definition.messages.registry;
  }

  get backends(): Readonly<Record<string, MessagingBackend>> {
    return this.#definition.backends;
  }

  get ended(): Promise<void> {
    return this.#instance.ended;
  }

  on(queue: string, type: MessageClass, handler: AnyHandler): this {
    this.#definition.on(queue, type, handler);
    return this;
  }

  onBatch(queue: string, type: MessageClass, options: BatchOptions, handle: AnyBatchHandler['handle']): this {
    this.#definition.on(queue, type, { options, handle });
    return this;
  }

  start(options?: StartOptions): Promise<void> {
    this.#definition.fix();
    return this.#instance.start(options);
  }

  stop(options?: StopOptions): Promise<void> {
    return this.#instance.stop(options);
  }

  run(options: RunOptions = {}): Promise<void> {
    const { declaration } = this.#definition;
    return runUntilStopped(this, declaration.logger ?? consoleLogger(this.name), options);
  }

  health(): Promise<ServiceHealth> {
    return this.#instance.health();
  }

  get dispatchers(): Readonly<Record<string, MessageDispatcher>> {
    return this.#instance.dispatchers;
  }

  counters(): Readonly<Record<string, DispatcherCounters>> {
    return this.#instance.counters();
  }

  async test(options: ServiceTestOptions = {}): Promise<ServiceTest> {
    // Only here: a service that runs needs none of it.
    const { startServiceTest } = await import('./testing/start-service-test.ts');
    return startServiceTest(this.#definition, options);
  }

  dispatcherFor(queue: string, options?: Partial<MessageDispatcherOptions>): MessageDispatcher {
    return this.#instance.dispatcherFor(queue, options);
  }
}
