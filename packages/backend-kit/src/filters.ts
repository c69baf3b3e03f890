import type { Logger, QueueOptions } from '@melange/core';

/** Manifests that a queue wants from a topic. */
export type TopicFilter = readonly string[] | 'all';

/**
 * What a queue wants from a topic after a declaration: as much as before and what is new, unless `replaceFilter` says
 * otherwise. Where the declaration asks for less than stays, that is one warning.
 *
 * @param known what it wanted before; nothing where it was not bound to the topic.
 */
export function redeclaredFilter(
  binding: { readonly queue: string; readonly topic: string },
  known: TopicFilter | undefined,
  { filter: wanted = 'all', replaceFilter = false }: QueueOptions,
  logger: Logger,
): TopicFilter {
  if (known === undefined || replaceFilter || wanted === 'all') return wanted;
  const stays = known === 'all' ? ['every manifest'] : known.filter((one) => !wanted.includes(one));
  if (stays.length > 0)
    logger.warn(
      `queue "${binding.queue}" still receives ${stays.join(', ')} of topic "${binding.topic}": declare it with replaceFilter to narrow its filter`,
    );
  return known === 'all' ? 'all' : [...new Set([...known, ...wanted])];
}

/** The filters of all topics of a queue as `QueueDescription.filter` tells them: nothing where one takes all. */
export function describedFilter(filters: readonly TopicFilter[]): readonly string[] | undefined {
  if (filters.length === 0 || filters.includes('all')) return undefined;
  return [...new Set(filters.flat())].sort();
}
