import { describedFilter, redeclaredFilter, type TopicFilter } from '@melange/backend-kit';
import type { Logger, QueueDescription, QueueOptions } from '@melange/core';
import type { Channel } from '../client/connection.ts';
import { codeOf, textOf } from '../errors.ts';
import { routingKeyOf } from '../wire/outgoing-message.ts';
import type { Channels } from './channels.ts';
import { recordQueue } from './names.ts';
import { type Bindings, changeRecord, readRecord } from './record.ts';

const everything = '#';

/** Binds a queue to the topics of a declaration, which are made where they are missing, and takes away what it says in words. */
export async function bind(
  channels: Channels,
  queue: string,
  options: QueueOptions,
  logger: Logger,
): Promise<void> {
  const change = (channel: Channel, before: Bindings | undefined): Promise<Bindings> =>
    changed(channel, queue, options, before, logger);
  try {
    await changeRecord(channels, queue, change);
  } catch (error) {
    if (codeOf(error) !== 403) throw error;
    // Without the right to the record, the bindings themselves may still be allowed.
    await channels.use((channel) => change(channel, undefined), `queue "${queue}"`);
    const facts = { queue, record: recordQueue(queue), reason: textOf(error) };
    logger.warn('cannot record what a queue is bound to', facts);
  }
}

/** What is recorded, without topics that are not there any more; nothing where there is no record. */
export async function describeBindings(
  channels: Channels,
  queue: string,
): Promise<Pick<QueueDescription, 'topics' | 'filter'>> {
  const recorded = await readRecord(channels, queue).catch((error: unknown) => {
    // Without the right to read it, it is as if there were none.
    if (codeOf(error) === 403) return undefined;
    throw error;
  });
  if (recorded === undefined) return {};
  const existing: [topic: string, filter: TopicFilter][] = [];
  for (const binding of recorded) if (await channels.exchangeExists(binding[0])) existing.push(binding);
  const filter = describedFilter(existing.map(([, one]) => one));
  const topics = existing.map(([topic]) => topic).sort();
  return filter === undefined ? { topics } : { topics, filter };
}

/**
 * Bindings are made before others go, so that no message goes past the queue meanwhile.
 *
 * @param before what is bound; nothing where nobody recorded it.
 */
async function changed(
  channel: Channel,
  queue: string,
  options: QueueOptions,
  before: Bindings | undefined,
  logger: Logger,
): Promise<Bindings> {
  const { topics = [], filter = 'all', removeTopics = [], replaceFilter = false } = options;
  const after = new Map(before);
  for (const topic of topics) {
    await channel.assertExchange(topic, 'topic', { durable: true });
    const earlier = before?.get(topic);
    const known = earlier === undefined ? [] : [earlier];
    const wanted = redeclaredFilter({ queue, topic }, known, options, logger);
    for (const key of keysOf(wanted)) await channel.bindQueue(queue, topic, key);
    // A queue that an earlier version declared may be bound to everything without a record of it.
    const bound = keysOf(earlier ?? (replaceFilter ? 'all' : []));
    for (const key of bound) if (!keysOf(wanted).includes(key)) await channel.unbindQueue(queue, topic, key);
    after.set(topic, wanted);
  }
  for (const topic of removeTopics) {
    // Where nobody recorded them, these are the bindings that the declaration itself knows of.
    for (const key of [everything, ...keysOf(before?.get(topic) ?? filter)])
      await channel.unbindQueue(queue, topic, key);
    after.delete(topic);
  }
  return after;
}

function keysOf(filter: TopicFilter): readonly string[] {
  return filter === 'all' ? [everything] : filter.map(routingKeyOf);
}
