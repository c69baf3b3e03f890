import type { Intake, PushDriver, SubscriptionContext } from '@melange/backend-kit';
import { type ConsumerContext, QueueConsumer } from './queue-consumer.ts';
import type { QueueIntake, QueueRecord } from './queue-intake.ts';

/** Opens intakes of queues, each queue by one member of its group. */
export class Consuming implements PushDriver<QueueRecord> {
  readonly kind = 'push';
  readonly #context: ConsumerContext;
  readonly #consumers = new Map<string, QueueConsumer>();

  constructor(context: ConsumerContext) {
    this.#context = context;
  }

  /** The consumer of a queue that is subscribed to. */
  consumerOf(queue: string): QueueConsumer | undefined {
    return this.#consumers.get(queue);
  }

  get consumers(): readonly QueueConsumer[] {
    return [...this.#consumers.values()];
  }

  async open(context: SubscriptionContext, intake: Intake<QueueRecord>): Promise<QueueIntake> {
    const { queue } = context;
    const layout = await this.#context.topology.layoutOf(queue);
    for (;;) {
      const existing = this.#consumers.get(queue);
      if (existing?.closing === undefined) break;
      await existing.closing;
    }
    let consumer = this.#consumers.get(queue);
    if (consumer === undefined) {
      consumer = new QueueConsumer(queue, layout, this.#context, () => this.#consumers.delete(queue));
      this.#consumers.set(queue, consumer);
      consumer.start();
    }
    return consumer.open(context, intake);
  }

  /** Leaves every group. */
  async close(): Promise<void> {
    await Promise.all(this.consumers.map((consumer) => consumer.close()));
  }
}
