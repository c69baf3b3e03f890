// Not the global ones: they do not turn where a test has faked them.
import { clearImmediate, setImmediate } from 'node:timers';
import { MemoryBackend } from '@melange/backend-memory';
import {
  type EnvelopeOptions,
  MelangeError,
  type MessageClass,
  type MessagingBackend,
  type OutgoingMessage,
  QueuePublisher,
  silentLogger,
  TopicPublisher,
} from '@melange/core';
import { MemoryDeduplicationCache } from '@melange/dedup-memory';
import type { ServiceDefinition } from '../definition.ts';
import { ServiceInstance } from '../instance.ts';
import { type Duration, durationMs } from './duration.ts';
import { Recorder } from './recorder.ts';
import type { ReportedError, ServiceTest, ServiceTestOptions } from './service-test.ts';
import { VirtualClock } from './virtual-clock.ts';
import { virtualLimiter } from './virtual-limiter.ts';

/** Starts the service in memory, in virtual time. */
export async function startServiceTest(
  definition: ServiceDefinition,
  options: ServiceTestOptions,
): Promise<ServiceTest> {
  const test = new MemoryTest(definition, options);
  await test.start();
  return test;
}

class MemoryTest implements ServiceTest {
  readonly #definition: ServiceDefinition;
  readonly #clock = new VirtualClock();
  readonly #brokers: Readonly<Record<string, MemoryBackend>>;
  readonly #recorder: Recorder;
  readonly #instance: ServiceInstance;
  readonly #errors: ReportedError[] = [];
  /** Told when a message was processed, or is held. */
  #onProgress: () => void = () => undefined;
  /** Calls of `deliver` and the like that are not settled. */
  #waiting = 0;

  constructor(definition: ServiceDefinition, { logger = silentLogger }: ServiceTestOptions) {
    const clock = this.#clock;
    this.#definition = definition;
    this.#recorder = new Recorder(definition.messages.registry);
    const names = Object.keys(definition.backends);
    this.#brokers = Object.fromEntries(names.map((name) => [name, new MemoryBackend({ clock, logger })]));
    const backends: Record<string, MessagingBackend> = {};
    for (const name of names) backends[name] = this.#recorder.record(this.#broker(name));
    const isDeduplicated = definition.declaration.cache !== undefined;
    this.#instance = new ServiceInstance(definition, {
      backends,
      cache: isDeduplicated ? new MemoryDeduplicationCache({ clock }) : undefined,
      logger,
      clock,
      flow: {
        limiter: (count, perMs) => virtualLimiter(clock, count, perMs),
        onHeld: () => this.#onProgress(),
      },
      // A batch has the messages that are there: time passes only when it is told to.
      wait: (callback) => {
        const due = setImmediate(() => setImmediate(callback));
        return () => clearImmediate(due);
      },
      dispatcherOptions: { random: () => 0 },
      consumeOptions: {
        onException: (error, context) => this.#errors.push({ error, ...context }),
        afterConsume: () => this.#onProgress(),
      },
      deadlineMs: 0,
      closesResources: true,
    });
  }

  async start(): Promise<void> {
    // Queues of other services: what is sent there stays there.
    for (const queue of this.#definition.sends) {
      if (this.#definition.queues.includes(queue)) continue;
      for (const backend of this.#definition.send(queue).backends)
        await this.#broker(backend).declareQueue(queue);
    }
    await this.#instance.start();
    await this.settled();
  }

  async deliver(queue: string, message: object, options?: EnvelopeOptions): Promise<string> {
    const [id] = await this.#deliver(queue, [{ value: message, ...options }]);
    return id as string;
  }

  deliverAll(
    queue: string,
    messages: readonly object[],
    options?: Omit<EnvelopeOptions, 'id'>,
  ): Promise<string[]> {
    return this.#deliver(
      queue,
      messages.map((value) => ({ value, ...options })),
    );
  }

  async deliverToTopic(topic: string, message: object, options?: EnvelopeOptions): Promise<string> {
    const [id] = await this.#untilSettled(async () => {
      const places = this.#placesOf(topic);
      const ids = places.map((place) => this.#topicPublisher(place).publish(topic, message, options));
      return Promise.all(ids);
    });
    return id as string;
  }

  settled(): Promise<void> {
    return this.#untilSettled(async () => undefined);
  }

  async advance(duration: Duration): Promise<void> {
    const until = this.#clock.monotonicNow() + durationMs(duration);
    const mayHang = this.#waiting > 0;
    const settle = (): Promise<void> => (mayHang ? this.#untilBrokersAreQuiet() : this.settled());
    await settle();
    while (this.#clock.fireNext(until)) await settle();
    this.#clock.moveTo(until);
  }

  published<Type extends MessageClass>(type: Type): never[] {
    return this.#recorder.published.flatMap(({ message }) =>
      message instanceof type ? [message as never] : [],
    );
  }

  publications(): Recorder['published'] {
    return [...this.#recorder.published];
  }

  deadLetters(queue: string): Recorder['deadLettered'] {
    if (this.#definition.queue(queue).deadLetterQueue === undefined) {
      throw new MelangeError(
        'CONFIGURATION',
        `Queue "${queue}" has no dead-letter queue: declare it with one.`,
      );
    }
    return this.#recorder.deadLettered.filter((dead) => dead.queue === queue);
  }

  errors(): readonly ReportedError[] {
    return [...this.#errors];
  }

  counters(): ReturnType<ServiceInstance['counters']> {
    return this.#instance.counters();
  }

  now(): number {
    return this.#clock.now();
  }

  async stop(): Promise<void> {
    let isOver = false;
    const stopping = this.#instance.stop().finally(() => {
      isOver = true;
    });
    // The deadline, which gives up handlers that hang, is of virtual time: it has passed as soon as it is set.
    while (!isOver) {
      await turn();
      this.#clock.fireNext(this.#clock.monotonicNow());
    }
    await stopping;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  #deliver(queue: string, batch: readonly OutgoingMessage<object>[]): Promise<string[]> {
    const serializers = this.#definition.messages.registry;
    const backend = this.#broker(this.#definition.backendOf(queue));
    const publisher = new QueuePublisher({ backend, serializers, clock: this.#clock });
    return this.#untilSettled(() => publisher.publishBatch(queue, batch));
  }

  /** The backends where the topic is: where it is published to, or a queue receives it. */
  #placesOf(topic: string): readonly string[] {
    const { declaration, queues } = this.#definition;
    const places = queues
      .filter((queue) => declaration.queues?.[queue]?.topics?.includes(topic))
      .map((queue) => this.#definition.backendOf(queue));
    if (places.length > 0) return [...new Set(places)];
    return this.#definition.topic(topic).backends;
  }

  #topicPublisher(backend: string): TopicPublisher {
    const serializers = this.#definition.messages.registry;
    return new TopicPublisher({ backend: this.#broker(backend), serializers, clock: this.#clock });
  }

  #broker(name: string): MemoryBackend {
    return this.#brokers[name] as MemoryBackend;
  }

  async #untilSettled<Result>(begin: () => Promise<Result>): Promise<Result> {
    this.#waiting += 1;
    try {
      const result = await begin();
      while (!this.#isSettled()) await this.#progress();
      return result;
    } finally {
      this.#waiting -= 1;
    }
  }

  /** Counted: no message can be handed over, none is processed, no publish is under way. */
  #isSettled(): boolean {
    const { running, publishing } = this.#instance;
    return this.#brokersAreQuiet() && running === 0 && publishing.underWay === 0;
  }

  #brokersAreQuiet(): boolean {
    return Object.values(this.#brokers).every(({ isQuiet }) => isQuiet);
  }

  async #untilBrokersAreQuiet(): Promise<void> {
    do await turn();
    while (!this.#brokersAreQuiet());
  }

  /** While handlers run, their end; else the next turn of the event loop, in which a broker hands over. */
  async #progress(): Promise<void> {
    if (this.#instance.running > 0 && this.#brokersAreQuiet()) {
      await new Promise<void>((resolve) => {
        const before = this.#onProgress;
        this.#onProgress = () => {
          before();
          resolve();
        };
      });
    }
    await turn();
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
