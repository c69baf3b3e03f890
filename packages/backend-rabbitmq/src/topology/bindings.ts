import type { Logger, QueueOptions } from '@melange/core';
import type { Channel } from 'amqplib';
import { routingKeyOf } from '../wire/outgoing-message.ts';
import { type Bindings, widened } from './binding-record.ts';

const everything = '#';

/**
 * Binds a queue to the topics of a declaration, which are made where they are missing, and takes away what it says
 * in words. Bindings are made before others go, so that no message goes past the queue meanwhile.
 *
 * @param before what is bound; `undefined` where nobody recorded it.
 * @param logger told of manifests that stay though the declaration does not list them.
 * @returns what is bound then.
 */
export async function changeBindings(
  channel: Channel,
  queue: string,
  { topics = [], filter, removeTopics = [], replaceFilter = false }: QueueOptions,
  before: Bindings | undefined,
  logger: Logger | undefined,
): Promise<Bindings> {
  const after = new Map(before ?? []);
  const declared = filter ?? null;
  const staying = new Set<string>();
  for (const topic of topics) {
    await channel.assertExchange(topic, 'topic', { durable: true });
    const earlier = before?.get(topic);
    const wanted = replaceFilter || earlier === undefined ? declared : widened(earlier, declared);
    for (const key of keysOf(wanted)) await channel.bindQueue(queue, topic, key);
    for (const key of keysToRemove(earlier, wanted, replaceFilter))
      await channel.unbindQueue(queue, topic, key);
    after.set(topic, wanted);
    for (const manifest of beyond(wanted, declared)) staying.add(manifest);
  }
  for (const topic of removeTopics) {
    // Where nobody recorded them, these are the bindings that the declaration itself knows of.
    const earlier = before?.get(topic) ?? declared;
    for (const key of [everything, ...keysOf(earlier)]) await channel.unbindQueue(queue, topic, key);
    after.delete(topic);
  }
  if (staying.size > 0) {
    logger?.warn('a queue keeps receiving manifests that its declaration does not list', {
      queue,
      manifests: [...staying].sort(),
      advice: 'declare it with replaceFilter: true to receive only those that are listed',
    });
  }
  return after;
}

function keysOf(manifests: readonly string[] | null): readonly string[] {
  return manifests === null ? [everything] : manifests.map(routingKeyOf);
}

function keysToRemove(
  earlier: readonly string[] | null | undefined,
  wanted: readonly string[] | null,
  replaceFilter: boolean,
): readonly string[] {
  const kept = new Set(keysOf(wanted));
  // A queue that an earlier version declared may be bound to everything without a record of it.
  const bound = earlier === undefined ? (replaceFilter ? [everything] : []) : keysOf(earlier);
  return bound.filter((key) => !kept.has(key));
}

/** Manifests that are received and were not asked for. */
function beyond(wanted: readonly string[] | null, declared: readonly string[] | null): readonly string[] {
  if (declared === null) return [];
  if (wanted === null) return ['all others'];
  return wanted.filter((manifest) => !declared.includes(manifest));
}
