import { QueueNotFoundError, TopicNotFoundError } from '@melange/core';
import { Queue, type QueueSettings } from './queue.ts';

/** Manifests that a queue wants of a topic. */
export type Wanted = ReadonlySet<string> | 'all';

/** The broker itself: queues and topics by name. Each method does its work in the turn of the call. */
export class Broker {
  readonly queues: Map<string, Queue> = new Map();
  /** Queues that are bound to each topic, with what they want of it. */
  readonly topics: Map<string, Map<Queue, Wanted>> = new Map();
  readonly #settings: QueueSettings;

  constructor(settings: QueueSettings) {
    this.#settings = settings;
  }

  /** @throws QueueNotFoundError */
  queue(name: string): Queue {
    const queue = this.queues.get(name);
    if (queue === undefined) throw new QueueNotFoundError(name);
    return queue;
  }

  /**
   * Queues that want a message of that manifest from the topic.
   *
   * @throws TopicNotFoundError
   */
  queuesOf(topic: string, manifest: string | undefined): Queue[] {
    const bindings = this.topics.get(topic);
    if (bindings === undefined) throw new TopicNotFoundError(topic);
    const queues: Queue[] = [];
    for (const [queue, wanted] of bindings)
      if (wanted === 'all' || wanted.has(manifest ?? '')) queues.push(queue);
    return queues;
  }

  /** The topic of that name, made if it is missing. */
  declareTopic(name: string): Map<Queue, Wanted> {
    const bindings = this.topics.get(name) ?? new Map<Queue, Wanted>();
    this.topics.set(name, bindings);
    return bindings;
  }

  /** The queue of that name, made if it is missing. */
  declareQueue(name: string, deadLetterQueue?: string): Queue {
    const queue = this.queues.get(name) ?? new Queue(name, deadLetterQueue, this.#settings);
    this.queues.set(name, queue);
    return queue;
  }

  /** Does nothing when there is none. */
  deleteQueue(name: string): void {
    const queue = this.queues.get(name);
    if (queue === undefined) return;
    this.queues.delete(name);
    for (const bindings of this.topics.values()) bindings.delete(queue);
    queue.end();
  }

  /** Whether no queue hands over anything by itself before time passes. */
  get isQuiet(): boolean {
    for (const queue of this.queues.values()) if (!queue.isQuiet) return false;
    return true;
  }

  close(): void {
    for (const name of this.queues.keys()) this.deleteQueue(name);
    this.topics.clear();
  }
}
