import type { TopologyDriver } from '@melange/backend-kit';
import { type Logger, type QueueDescription, type QueueOptions, TopologyConflictError } from '@melange/core';
import type { RedisClient } from '../client.ts';
import { declareQueue, declareTopic, deleteQueue, deleteTopic, describeQueue } from './scripts.ts';

/** What a queue keeps though its declaration does not name it: topics, manifests, and 1 when all manifests. */
type Kept = readonly [topics: readonly Buffer[], manifests: readonly Buffer[], keepsAll: number];

type Texts = readonly Buffer[];
type Description = readonly [
  exists: 0 | 1,
  depth: number,
  dead: Buffer,
  held: number,
  topics: Texts,
  filters: Texts,
];

/** A queue is a hash of what it is, a stream and a sorted set; a topic is a hash of its queues and their filters. */
export function topology(client: RedisClient, logger: Logger): TopologyDriver<QueueOptions> {
  return {
    declareTopic: async (name) => void (await client.run(declareTopic, [name])),
    async declareQueue(name, options) {
      const { topics = [], filter, deadLetterQueue = '', removeTopics = [], replaceFilter = false } = options;
      const wanted = filter === undefined ? '*' : JSON.stringify(filter);
      const changes = [deadLetterQueue, wanted, replaceFilter ? 1 : 0, topics.length];
      const answer = await client.run(declareQueue, [name, ...changes, ...topics, ...removeTopics]);
      if (!Buffer.isBuffer(answer)) {
        warnOfKept(logger, name, answer as Kept, options);
        return;
      }
      throw new TopologyConflictError(
        `Queue "${name}" exists with the dead-letter queue ${String(answer) || '(none)'}, not ${deadLetterQueue || '(none)'}.`,
      );
    },
    async describeQueue(name): Promise<QueueDescription> {
      const answer = (await client.run(describeQueue, [name])) as Description;
      const [exists, depth, deadLetterQueue, inFlight, topics, filters] = answer;
      if (exists === 0) return { exists: false, depth: 0, deadLetterQueue: undefined };
      return {
        exists: true,
        depth,
        deadLetterQueue: String(deadLetterQueue) || undefined,
        inFlight,
        topics: topics.map(String).sort(),
        filter: unionOf(filters.map(String)),
      };
    },
    deleteQueue: async (name) => void (await client.run(deleteQueue, [name])),
    deleteTopic: async (name) => void (await client.run(deleteTopic, [name])),
  };
}

/** A declaration that asks for less than there is takes nothing away: it says so. */
function warnOfKept(
  logger: Logger,
  queue: string,
  [rawTopics, rawManifests, keepsAll]: Kept,
  options: QueueOptions,
): void {
  const topics = options.topics === undefined ? [] : rawTopics.map(String);
  const manifests = keepsAll === 1 ? 'all' : [...new Set(rawManifests.map(String))];
  if (topics.length === 0 && manifests.length === 0) return;
  logger.warn('A queue keeps topics or manifests that its declaration does not name.', {
    queue,
    ...(topics.length > 0 && { topics, toRemoveTopics: 'removeTopics' }),
    ...(manifests.length > 0 && { manifests, toRemoveManifests: 'replaceFilter' }),
  });
}

/** Manifests wanted of all topics together; undefined for all. @param filters of each topic, as JSON or `*`. */
function unionOf(filters: readonly string[]): readonly string[] | undefined {
  if (filters.length === 0 || filters.includes('*')) return undefined;
  return [...new Set(filters.flatMap((filter) => JSON.parse(filter) as string[]))].sort();
}
