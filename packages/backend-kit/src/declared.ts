import type { Logger, QueueOptions } from '@melange/core';
import type { Fault, TopologyDriver } from './driver.ts';
import { reasonOf } from './explain.ts';

/** What was declared through a backend, for a broker that forgets it with the connection. */
export class Declared<Options extends QueueOptions> {
  readonly #topics = new Set<string>();
  /** Every declaration of a queue, for each adds its topics and filter; without the topics that later ones removed. */
  readonly #queues = new Map<string, Options[]>();

  topic(name: string): void {
    this.#topics.add(name);
  }

  queue(name: string, options: Options): void {
    const { removeTopics = [], replaceFilter, ...kept } = options;
    const over = new Set([...removeTopics, ...(replaceFilter === true ? (options.topics ?? []) : [])]);
    const declarations = (this.#queues.get(name) ?? []).map((earlier) => withoutTopics(earlier, over));
    const text = JSON.stringify(kept);
    if (!declarations.some((earlier) => JSON.stringify(earlier) === text)) declarations.push(kept as Options);
    this.#queues.set(name, declarations);
  }

  forgetTopic(name: string): void {
    this.#topics.delete(name);
  }

  forgetQueue(name: string): void {
    this.#queues.delete(name);
  }

  /**
   * Declares everything again, in the order in which it was declared. What the broker refuses now is a warning, and keeps
   * nothing else from being declared.
   *
   * @throws whatever says that the broker is unavailable.
   */
  async replay(
    topology: TopologyDriver<Options>,
    explain: (error: unknown) => Fault,
    logger: Logger,
  ): Promise<void> {
    const declare = async (name: string, declaring: Promise<void>): Promise<void> => {
      try {
        await declaring;
      } catch (error) {
        if (explain(error).kind === 'unavailable') throw error;
        logger.warn('cannot declare a queue or topic again', { name, reason: reasonOf(error) });
      }
    };
    for (const name of [...this.#topics]) await declare(name, topology.declareTopic(name));
    for (const [name, declarations] of [...this.#queues])
      for (const options of declarations) await declare(name, topology.declareQueue(name, options));
  }
}

function withoutTopics<Options extends QueueOptions>(options: Options, over: ReadonlySet<string>): Options {
  const { topics } = options;
  return topics === undefined ? options : { ...options, topics: topics.filter((topic) => !over.has(topic)) };
}
