import type { TopologyDriver } from '@melange/backend-kit';
import { type Logger, type QueueOptions, TopologyConflictError } from '@melange/core';
import type { Broker, Wanted } from './client/broker.ts';
import type { Queue } from './client/queue.ts';

/** Declares, describes and deletes, each in the turn of the call: a queue that is declared twice at once is made once. */
export function topology(broker: Broker, logger: Logger): TopologyDriver<QueueOptions> {
  return {
    async declareTopic(name) {
      broker.declareTopic(name);
    },
    async declareQueue(name, options) {
      const { deadLetterQueue } = options;
      const existing = broker.queues.get(name);
      if (existing !== undefined && existing.deadLetterQueue !== deadLetterQueue) {
        throw new TopologyConflictError(
          `Queue "${name}" exists with the dead-letter queue ${existing.deadLetterQueue ?? '(none)'}, not ${deadLetterQueue ?? '(none)'}.`,
        );
      }
      if (deadLetterQueue !== undefined) broker.declareQueue(deadLetterQueue);
      bind(broker, logger, broker.declareQueue(name, deadLetterQueue), options);
    },
    async describeQueue(name) {
      const queue = broker.queues.get(name);
      if (queue === undefined) return { exists: false, depth: 0, deadLetterQueue: undefined };
      const { depth, inFlight, deadLetterQueue } = queue;
      const topics = topicsOf(broker, queue);
      return { exists: true, depth, inFlight, deadLetterQueue, topics, filter: filterOf(broker, queue) };
    },
    async deleteQueue(name) {
      broker.deleteQueue(name);
    },
    async deleteTopic(name) {
      broker.topics.delete(name);
    },
  };
}

/** Adds what the declaration asks for, removes what it names for that, and warns of what stays although it asks for less. */
function bind(broker: Broker, logger: Logger, queue: Queue, options: QueueOptions): void {
  const { topics, filter, removeTopics = [], replaceFilter = false } = options;
  for (const topic of removeTopics) broker.topics.get(topic)?.delete(queue);
  const asked: Wanted = filter === undefined ? 'all' : new Set(filter);
  const kept = new Set<string>();
  let keepsAll = false;
  for (const topic of topics ?? []) {
    const bindings = broker.declareTopic(topic);
    const known = bindings.get(queue);
    if (known === undefined || asked === 'all' || replaceFilter) bindings.set(queue, asked);
    else if (known === 'all') keepsAll = true;
    else {
      for (const manifest of known) if (!asked.has(manifest)) kept.add(manifest);
      bindings.set(queue, new Set([...known, ...asked]));
    }
  }
  const manifests = keepsAll ? 'all' : [...kept].sort();
  const others = topicsOf(broker, queue).filter((topic) => topics?.includes(topic) === false);
  if (others.length === 0 && manifests.length === 0) return;
  logger.warn('a queue keeps what its declaration does not name any more', {
    queue: queue.name,
    ...(others.length > 0 && { topics: others, toRemoveTopics: 'removeTopics' }),
    ...(manifests.length > 0 && { manifests, toRemoveManifests: 'replaceFilter' }),
  });
}

/** In alphabetical order. */
function topicsOf({ topics }: Broker, queue: Queue): string[] {
  return [...topics.keys()].filter((topic) => topics.get(topic)?.has(queue)).sort();
}

/** Manifests that the queue wants of its topics together, in alphabetical order; `undefined` when it wants all of one. */
function filterOf({ topics }: Broker, queue: Queue): string[] | undefined {
  const filters = [...topics.values()].flatMap((bindings) => bindings.get(queue) ?? []);
  if (filters.length === 0) return undefined;
  const manifests = new Set<string>();
  for (const wanted of filters) {
    if (wanted === 'all') return undefined;
    for (const manifest of wanted) manifests.add(manifest);
  }
  return [...manifests].sort();
}
