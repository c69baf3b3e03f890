import { type MessagingBackend, QueuePublisher, silentLogger, TopicPublisher } from '@melange/core';
import { queue, topic } from './broker/names.ts';
import type { Network } from './broker/network.ts';
import type { SimulatedBrokers } from './broker/simulated-brokers.ts';
import type { Ledger } from './check/ledger.ts';
import { isForTopic, type Plan, type PlannedMessage } from './plan/plan.ts';
import { newSerializers } from './service/worker.ts';
import type { Random } from './time/random.ts';

/** Longest wait of the publisher for a confirmation, in ms. */
const deadlineMs = 20_000;

/** The process that publishes, by the real publishers: which message was confirmed when, or not. */
export class PublishingProcess {
  readonly #plan: Plan;
  readonly #ledger: Ledger;
  readonly #brokers: SimulatedBrokers;
  readonly #random: Random;
  readonly network: Network;
  #backend: MessagingBackend;
  /** Calls without an answer. */
  readonly #open = new Set<string>();

  constructor(plan: Plan, ledger: Ledger, brokers: SimulatedBrokers, network: Network, random: Random) {
    this.#plan = plan;
    this.#ledger = ledger;
    this.#brokers = brokers;
    this.network = network;
    this.#random = random;
    this.#backend = this.#connect();
  }

  /** Calls that were not answered yet. */
  get open(): number {
    return this.#open.size;
  }

  /** Schedules everything that is published. */
  start(): void {
    const { process } = this.network;
    this.#plan.messages.forEach((message, place) => {
      process.schedule(() => void this.#publish(message, place), message.at);
    });
  }

  /** Closes its backend, and goes on with another one. */
  async replaceBackend(): Promise<void> {
    const closed = this.#backend;
    const calledBefore = [...this.#open];
    this.#backend = this.#connect();
    await closed.close();
    const open = calledBefore.filter((id) => this.#open.has(id));
    if (open.length > 0)
      this.#ledger.violate('closing waits for what was published before', `${open.join(', ')} had no answer`);
  }

  /** Closes its backend. */
  close(): Promise<void> {
    return this.#backend.close();
  }

  async #publish({ behaviour, key }: PlannedMessage, place: number): Promise<void> {
    const id = `m${place}`;
    const content = behaviour === 'undecodable' ? 'undecodable' : String(place);
    const record = this.#ledger.create(id, content, key, place);
    const options = { backend: this.#backend, serializers: newSerializers(), clock: this.network.process };
    const envelope = { id, headers: { tenant: `tenant of ${id}` }, ...(key !== undefined && { key }) };
    this.#open.add(id);
    try {
      if (isForTopic(place))
        await new TopicPublisher(options).publish(topic, content, { ...envelope, deadlineMs });
      else await new QueuePublisher(options).publish(queue, content, { ...envelope, deadlineMs });
      record.confirmedAt = this.#ledger.now;
      this.#ledger.tell('publisher', () => `knows that ${id} is safe`);
      if (record.taken === 0)
        this.#ledger.violate(
          'a confirmed message was taken',
          `${id} was confirmed, and the broker has not got it`,
        );
    } catch {
      this.#ledger.tell('publisher', () => `does not know what became of ${id}`);
    }
    this.#open.delete(id);
    const tookMs = this.#ledger.now - record.publishedAt;
    if (tookMs > deadlineMs + 10)
      this.#ledger.violate('a publish settles by its deadline', `${id} took ${tookMs} ms`);
  }

  #connect(): MessagingBackend {
    const { backend } = this.#brokers.connect(this.network, {
      clock: this.network.process,
      random: this.#random.fork().next,
      logger: silentLogger,
    });
    return backend;
  }
}
