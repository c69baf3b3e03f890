import { setTimeout as sleep } from 'node:timers/promises';
import type { TopicFilter } from '@melange/backend-kit';
import type { Channel, GetMessage } from '../client/connection.ts';
import type { Channels } from './channels.ts';
import { recordQueue } from './names.ts';

/** The topics of a queue, and the manifests that it wants of each. */
export type Bindings = ReadonlyMap<string, TopicFilter>;

/** Another process that changes the bindings is waited for so long, in ms. */
const maxHolderMs = 2_000;
const askEveryMs = 25;

/** What is recorded of a queue's bindings; nothing where nobody recorded them. */
export async function readRecord(channels: Channels, queue: string): Promise<Bindings | undefined> {
  const name = recordQueue(queue);
  if (!(await channels.queueExists(name))) return undefined;
  // What is not acknowledged goes back as the channel closes.
  return channels.use(async (channel) => joined(await take(channel, name)), `queue "${name}"`);
}

/**
 * Changes bindings, and records what they are then: RabbitMQ tells nobody over AMQP 0-9-1. The record is one message, in a
 * queue beside the queue. Whoever changes bindings takes the message, and has it to himself until he has put a new one in its
 * place: two processes that declare at once do it one after the other. If the new one is there and the process
 * ended before the old one was gone, the next one finds both and joins them.
 *
 * @param change makes the bindings, and answers with all that there are.
 */
export async function changeRecord(
  channels: Channels,
  queue: string,
  change: (channel: Channel, before: Bindings | undefined) => Promise<Bindings>,
): Promise<void> {
  const name = recordQueue(queue);
  const isNew = !(await channels.queueExists(name));
  await channels.useConfirms(async (channel) => {
    await channel.assertQueue(name, { durable: true, arguments: { 'x-queue-type': 'classic' } });
    const held = isNew ? [] : await take(channel, name);
    const before = joined(held);
    const after = textOf(await change(channel, before));
    if (held.length === 1 && before !== undefined && textOf(before) === after) return;
    channel.sendToQueue(name, Buffer.from(after), { persistent: true, contentType: 'application/json' });
    await channel.waitForConfirms();
    for (const message of held) channel.ack(message);
    // A round trip behind them: closing might come before a queue has taken the acknowledgements.
    await channel.checkQueue(name);
  }, `queue "${name}"`);
}

/** All that is recorded, waiting for another process to finish with it, but not for one that hangs. */
async function take(channel: Channel, name: string): Promise<GetMessage[]> {
  const held: GetMessage[] = [];
  const until = performance.now() + maxHolderMs;
  for (;;) {
    const message = await channel.get(name);
    if (message !== false) held.push(message);
    else if (held.length > 0 || performance.now() > until) return held;
    else await sleep(askEveryMs);
  }
}

function joined(messages: readonly GetMessage[]): Bindings | undefined {
  if (messages.length === 0) return undefined;
  const bindings = new Map<string, TopicFilter>();
  for (const { content } of messages) {
    for (const [topic, filter] of read(content.toString())) {
      const other = bindings.get(topic) ?? [];
      bindings.set(topic, filter === 'all' || other === 'all' ? 'all' : [...new Set([...other, ...filter])]);
    }
  }
  return bindings;
}

/** Nothing of what is no record. */
function read(text: string): [topic: string, filter: TopicFilter][] {
  try {
    const { topics } = JSON.parse(text) as { topics?: Record<string, unknown> };
    return Object.entries(topics ?? {}).map(([topic, manifests]) => [
      topic,
      Array.isArray(manifests) ? manifests.map(String) : 'all',
    ]);
  } catch {
    return [];
  }
}

/** JSON, in which `null` is all manifests. */
function textOf(bindings: Bindings): string {
  const topics = [...bindings]
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([topic, filter]) => [topic, filter === 'all' ? null : [...filter].sort()]);
  return JSON.stringify({ topics: Object.fromEntries(topics) });
}
