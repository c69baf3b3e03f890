import { setTimeout as sleep } from 'node:timers/promises';
import type { Channel, GetMessage } from 'amqplib';

/** The topics of a queue, and the manifests that it wants of each: `null` for all. */
export type Bindings = ReadonlyMap<string, readonly string[] | null>;

/** Does work on a confirm channel of its own. */
export type OnConfirmChannel = <Result>(
  work: (channel: Channel & { waitForConfirms(): Promise<void> }) => Promise<Result>,
  subject: string,
) => Promise<Result>;

const waitForHolderMs = 2_000;
const askEveryMs = 25;

/** Name of the queue that holds the record of a queue's bindings. */
export function recordQueue(queue: string): string {
  return `${queue}.bindings`;
}

/**
 * What a queue is bound to, which RabbitMQ tells nobody over AMQP 0-9-1. It is kept in one message, in a queue beside it.
 * Whoever changes bindings takes the message, and has it to himself until he has put a new one in its place: two
 * processes that declare at once do it one after the other. If the new one is there and the process ended before the old
 * one was gone, the next one finds both and joins them.
 */
export class BindingRecord {
  readonly #onChannel: OnConfirmChannel;
  readonly #queueExists: (name: string) => Promise<boolean>;

  constructor(onChannel: OnConfirmChannel, queueExists: (name: string) => Promise<boolean>) {
    this.#onChannel = onChannel;
    this.#queueExists = queueExists;
  }

  /** `undefined` when nothing is recorded. */
  async read(queue: string): Promise<Bindings | undefined> {
    const name = recordQueue(queue);
    if (!(await this.#queueExists(name))) return undefined;
    return this.#onChannel(async (channel) => {
      // What is not acknowledged goes back as the channel closes.
      const held = await take(channel, name);
      return held.length === 0 ? undefined : joined(held);
    }, `queue "${name}"`);
  }

  /**
   * Changes bindings, and records what they are then.
   *
   * @param change makes the bindings, and answers with all that there are.
   */
  async change(
    queue: string,
    change: (channel: Channel, before: Bindings | undefined) => Promise<Bindings>,
  ): Promise<void> {
    const name = recordQueue(queue);
    const isNew = !(await this.#queueExists(name));
    await this.#onChannel(async (channel) => {
      await channel.assertQueue(name, { durable: true, arguments: { 'x-queue-type': 'classic' } });
      const held = isNew ? [] : await take(channel, name);
      const before = held.length === 0 ? undefined : joined(held);
      const after = textOf(await change(channel, before));
      if (held.length === 1 && before !== undefined && textOf(before) === after) return;
      channel.sendToQueue(name, Buffer.from(after), { persistent: true, contentType: 'application/json' });
      await channel.waitForConfirms();
      for (const message of held) channel.ack(message);
      // A round trip behind them: closing might come before a queue has taken the acknowledgements.
      await channel.checkQueue(name);
    }, `queue "${name}"`);
  }
}

/** All that is recorded, waiting for another process to finish with it, but not for one that hangs. */
async function take(channel: Channel, name: string): Promise<GetMessage[]> {
  const held: GetMessage[] = [];
  const until = performance.now() + waitForHolderMs;
  for (;;) {
    const message = await channel.get(name);
    if (message !== false) held.push(message);
    else if (held.length > 0 || performance.now() > until) return held;
    else await sleep(askEveryMs);
  }
}

function joined(messages: readonly GetMessage[]): Bindings {
  const bindings = new Map<string, readonly string[] | null>();
  for (const { content } of messages) {
    for (const [topic, manifests] of read(content.toString())) {
      bindings.set(topic, bindings.has(topic) ? widened(bindings.get(topic), manifests) : manifests);
    }
  }
  return bindings;
}

/** The manifests of both; `null` is all. */
export function widened(
  one: readonly string[] | null | undefined,
  other: readonly string[] | null,
): readonly string[] | null {
  if (one === null || other === null) return null;
  return [...new Set([...(one ?? []), ...other])].sort();
}

/** Nothing of what is no record. */
function read(text: string): [topic: string, manifests: readonly string[] | null][] {
  try {
    const { topics } = JSON.parse(text) as { topics?: Record<string, unknown> };
    return Object.entries(topics ?? {}).map(([topic, manifests]) => [
      topic,
      Array.isArray(manifests) ? manifests.map(String) : null,
    ]);
  } catch {
    return [];
  }
}

function textOf(bindings: Bindings): string {
  const topics = [...bindings].sort(([one], [other]) => (one < other ? -1 : 1));
  return JSON.stringify({ topics: Object.fromEntries(topics) });
}
