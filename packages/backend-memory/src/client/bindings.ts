import type { QueueOptions } from '@melange/core';

/** Which manifests a queue wants of a topic; `undefined` means all. */
type Wanted = ReadonlySet<string> | undefined;

/** What a queue keeps though a declaration does not name it. */
export interface Kept {
  readonly topics: readonly string[];
  /** `undefined` means all. */
  readonly manifests: readonly string[] | undefined;
}

/** Topics, the queues bound to each, and what those want of it. */
export class MemoryBindings {
  readonly #topics = new Map<string, Map<string, Wanted>>();

  /** Makes the topic if it is missing. */
  declareTopic(topic: string): Map<string, Wanted> {
    const known = this.#topics.get(topic);
    if (known !== undefined) return known;
    const made = new Map<string, Wanted>();
    this.#topics.set(topic, made);
    return made;
  }

  /** Does nothing when there is none. */
  deleteTopic(topic: string): void {
    this.#topics.delete(topic);
  }

  /** The queues of a topic, with what each wants; `undefined` when there is no such topic. */
  of(topic: string): ReadonlyMap<string, Wanted> | undefined {
    return this.#topics.get(topic);
  }

  /** Adds what the declaration asks for, takes away what it names for that, and answers what it left although it asks for less. */
  declare(queue: string, options: QueueOptions): Kept | undefined {
    const { topics = [], filter, removeTopics = [], replaceFilter = false } = options;
    for (const topic of removeTopics) this.#topics.get(topic)?.delete(queue);
    const asked = filter === undefined ? undefined : new Set(filter);
    const kept = new Set<string>();
    let keepsAll = false;
    for (const topic of topics) {
      const queues = this.declareTopic(topic);
      const known = queues.get(queue);
      const isNew = !queues.has(queue);
      if (isNew || replaceFilter || asked === undefined) {
        queues.set(queue, asked);
        continue;
      }
      if (known === undefined) {
        keepsAll = true;
        continue;
      }
      for (const manifest of known) if (!asked.has(manifest)) kept.add(manifest);
      queues.set(queue, new Set([...known, ...asked]));
    }
    const left =
      options.topics === undefined ? [] : this.topicsOf(queue).filter((topic) => !topics.includes(topic));
    if (left.length === 0 && kept.size === 0 && !keepsAll) return undefined;
    return { topics: left, manifests: keepsAll ? undefined : [...kept].sort() };
  }

  /** The queue receives nothing from topics any more. */
  deleteQueue(queue: string): void {
    for (const queues of this.#topics.values()) queues.delete(queue);
  }

  /** In alphabetical order. */
  topicsOf(queue: string): string[] {
    return [...this.#topics]
      .filter(([, queues]) => queues.has(queue))
      .map(([topic]) => topic)
      .sort();
  }

  /** Manifests that the queue wants of its topics together, in alphabetical order; `undefined` when it wants all of one. */
  filterOf(queue: string): string[] | undefined {
    const manifests = new Set<string>();
    const topics = this.topicsOf(queue);
    for (const topic of topics) {
      const wanted = this.#topics.get(topic)?.get(queue);
      if (wanted === undefined) return undefined;
      for (const manifest of wanted) manifests.add(manifest);
    }
    return topics.length === 0 ? undefined : [...manifests].sort();
  }

  clear(): void {
    this.#topics.clear();
  }
}
