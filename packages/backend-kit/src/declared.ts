import type { QueueOptions } from '@melange/core';
import type { TopologyDriver } from './driver.ts';

/** What was declared through a backend, for a broker that forgets it with the connection. */
export class Declared<Options extends QueueOptions> {
  readonly #topics = new Set<string>();
  readonly #queues = new Map<string, Options>();

  topic(name: string): void {
    this.#topics.add(name);
  }

  queue(name: string, options: Options): void {
    this.#queues.set(name, options);
  }

  forgetTopic(name: string): void {
    this.#topics.delete(name);
  }

  forgetQueue(name: string): void {
    this.#queues.delete(name);
  }

  /** Declares everything again, in the order in which it was declared. */
  async replay(topology: TopologyDriver<Options>): Promise<void> {
    for (const name of this.#topics) await topology.declareTopic(name);
    for (const [name, options] of this.#queues) await topology.declareQueue(name, options);
  }
}
