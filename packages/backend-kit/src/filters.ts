import type { Logger, QueueOptions } from '@melange/core';

/** Manifests that a queue wants from a topic. */
export type TopicFilter = 'all' | readonly string[];

/**
 * What a queue wants from a topic after a declaration: as much as before and what is new, unless `replaceFilter` says
 * otherwise. Where the declaration asks for less than stays, that is one warning.
 *
 * @param known what it wanted before; empty where it was not bound to the topic.
 */
export function redeclaredFilter(
  { queue, topic }: { readonly queue: string; readonly topic: string },
  known: readonly TopicFilter[],
  { filter, replaceFilter = false }: QueueOptions,
  logger: Logger,
): TopicFilter {
  const wanted: TopicFilter = filter ?? 'all';
  if (known.length === 0 || replaceFilter || wanted === 'all') return wanted;
  const before = describedFilter(known);
  const stays = before?.filter((manifest) => !wanted.includes(manifest)) ?? ['every manifest'];
  if (stays.length > 0)
    logger.warn(
      `queue "${queue}" still receives ${stays.join(', ')} of topic "${topic}": declare it with replaceFilter to narrow its filter`,
    );
  return before === undefined ? 'all' : [...new Set([...before, ...wanted])];
}

/** The filters of all topics of a queue as `QueueDescription.filter` tells them: nothing where one takes all. */
export function describedFilter(filters: readonly TopicFilter[]): readonly string[] | undefined {
  const manifests = filters.flatMap((filter) => (filter === 'all' ? [] : filter));
  return filters.length === 0 || filters.includes('all') ? undefined : [...new Set(manifests)].sort();
}
