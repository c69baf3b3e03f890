import { MemoryBackend } from '@melange/backend-memory';
import {
  type ConsumeContext,
  type Consumer,
  type Delivery,
  fixedDelays,
  type MessageDispatcher,
  type MessageDispatcherOptions,
  type MessagingBackend,
  QueuePublisher,
  SimpleMessageDispatcher,
  type SubscribeOptions,
  silentLogger,
} from '@melange/core';
import { ManualClock } from './manual-clock.ts';
import { serializers } from './text-serializer.ts';

/** What a test does with a message. */
export type Process = (message: { n: number }, context: ConsumeContext) => unknown;

export function consumer(process: Process, name = 'consumer'): Consumer {
  return {
    name,
    accepts: () => true,
    process: async (message, context) => void (await process(message as { n: number }, context)),
  };
}

/** A queue `orders` that dead-letters to `dead`, in time that passes only when told to. */
export class Scene {
  readonly clock: ManualClock = new ManualClock();
  readonly backend: MemoryBackend = new MemoryBackend({ clock: this.clock });
  readonly publisher: QueuePublisher<MemoryBackend['capabilities']> = new QueuePublisher({
    backend: this.backend,
    serializers,
    clock: this.clock,
  });

  static async open(): Promise<Scene> {
    const scene = new Scene();
    await scene.backend.declareQueue('orders', { deadLetterQueue: 'dead' });
    return scene;
  }

  close(): Promise<void> {
    return this.backend.close();
  }

  /** The backend, with deliveries that are, or do, some things otherwise. */
  withDeliveries(otherwise: (delivery: Delivery) => Partial<Delivery>): MessagingBackend {
    const { backend } = this;
    return Object.create(backend, {
      describeQueue: { value: (name: string) => backend.describeQueue(name) },
      health: { value: () => backend.health() },
      subscribe: {
        value: (queue: string, options: SubscribeOptions, receive: (delivery: Delivery) => void) =>
          backend.subscribe(queue, options, (delivery) =>
            receive({
              message: delivery.message,
              attempt: delivery.attempt,
              redeliveries: delivery.redeliveries ?? 0,
              signal: delivery.signal,
              acknowledge: () => delivery.acknowledge(),
              retry: (settings) => delivery.retry(settings),
              deadLetter: (settings) => delivery.deadLetter(settings),
              release: () => delivery.release(),
              ...otherwise(delivery),
            }),
          ),
      },
    }) as MemoryBackend;
  }

  /** Of a dispatcher that retries twice, after 100 ms each. */
  get options(): MessageDispatcherOptions {
    return {
      backend: this.backend,
      serializers,
      clock: this.clock,
      logger: silentLogger,
      retry: fixedDelays([100, 100]),
      random: () => 0,
    };
  }

  dispatcher(process: Process, options: Partial<MessageDispatcherOptions> = {}): MessageDispatcher {
    return new SimpleMessageDispatcher(consumer(process), { ...this.options, ...options });
  }

  async publish(count: number, key?: (n: number) => string): Promise<void> {
    const batch = Array.from({ length: count }, (_, n) => ({ value: { n }, ...(key && { key: key(n) }) }));
    await this.publisher.publishBatch('orders', batch);
  }

  async depth(queue = 'orders'): Promise<number> {
    return (await this.backend.describeQueue(queue)).depth;
  }
}

/** What holds a handler until it is told to finish. */
export function gate(): { readonly passed: Promise<void>; open(): void } {
  let open = (): void => undefined;
  const passed = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { passed, open: () => open() };
}
