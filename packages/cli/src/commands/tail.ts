import { randomUUID } from 'node:crypto';
import { isBrowsable, type Message } from '@melange/core';
import type { Connection, Connections, Place } from '../connect/connections.ts';
import type { CommandContext } from '../context.ts';
import { CommandError, describe, exitCode, usageError } from '../exit-codes.ts';
import { harmless } from '../output/harmless.ts';
import { briefContent, contentOf, messageData } from '../output/message-text.ts';
import { headersOf } from './dead-filter.ts';
import { pause } from './queues.ts';

/** Options of `tail`. */
export interface TailOptions {
  readonly manifest?: readonly string[];
  readonly header?: readonly string[];
  readonly text?: string;
  readonly count?: string;
}

/** A queue that cannot be told of news is looked at so often, in ms. */
const lookEveryMs = 500;
const pageSize = 100;

/** `tail`: messages as they come, of a topic, or of a queue without taking them. */
export async function tail(context: CommandContext, options: TailOptions, name: string): Promise<number> {
  const max = options.count === undefined ? Number.POSITIVE_INFINITY : Number(options.count);
  if (Number.isNaN(max) || max < 1)
    throw usageError(`--count must be a number of at least 1, not "${options.count}".`);
  const all = await context.connections();
  const isMeant = matcherOf(options);
  const ending = new AbortController();
  const end = (): void => ending.abort();
  context.signal.addEventListener('abort', end, { once: true });
  if (context.signal.aborted) end();
  let shown = 0;
  let showing: Promise<void> = Promise.resolve();
  const onMessage = (message: Message): void => {
    if (!isMeant(message) || shown >= max) return;
    shown += 1;
    if (shown >= max) end();
    showing = showing.then(() => print(context, all, message));
  };
  const [place, ...others] = await all.places(name);
  if (others.length > 0)
    throw usageError(`Queue "${name}" exists on several backends: say which with --backend.`);
  if (place !== undefined && isBrowsable(place.connection.backend))
    await lookAgain(context, place, onMessage, ending.signal);
  else if (place !== undefined) await tailTopics(context, place, onMessage, ending.signal);
  else await tailTopic(context, topicsConnection(all, name), [name], onMessage, ending.signal);
  await showing;
  return exitCode.done;
}

/** A queue whose topics are listened to; what is sent to the queue itself is not seen. */
async function tailTopics(
  context: CommandContext,
  { connection, queue, description }: Place,
  onMessage: (message: Message) => void,
  signal: AbortSignal,
): Promise<void> {
  const { topics = [] } = description;
  if (topics.length === 0)
    throw new CommandError(
      `Queue "${queue}" has no topics, and ${connection.backend.name} shows messages to their receivers only.`,
      exitCode.failed,
    );
  context.output.note(
    `what comes to "${queue}" through ${topics.join(', ')}; what is sent to the queue itself is not seen`,
    'faint',
  );
  await tailTopic(context, connection, topics, onMessage, signal);
}

/** By a queue of its own, which is deleted at the end. */
async function tailTopic(
  { output }: CommandContext,
  { backend }: Connection,
  topics: readonly string[],
  onMessage: (message: Message) => void,
  signal: AbortSignal,
): Promise<void> {
  const queue = `melange-tail-${randomUUID()}`;
  try {
    await backend.declareQueue(queue, { topics });
    const subscription = await backend.subscribe(queue, { maxInFlight: 100 }, (delivery) => {
      onMessage(delivery.message);
      void Promise.resolve(delivery.acknowledge()).catch(() => undefined);
    });
    output.note(`listening to ${topics.join(', ')}: Ctrl-C ends it`, 'faint');
    await Promise.race([aborted(signal), subscription.ended]);
    await subscription.close();
  } finally {
    await backend.deleteQueue(queue).catch((error: unknown) => {
      output.note(`The queue "${queue}" could not be deleted: ${describe(error)}`, 'warning');
    });
  }
}

/** A queue that can be browsed: what is there, and then what comes. What comes and goes between two looks is not seen. */
async function lookAgain(
  { output }: CommandContext,
  { connection, queue }: Place,
  onMessage: (message: Message) => void,
  signal: AbortSignal,
): Promise<void> {
  const { backend } = connection;
  if (!isBrowsable(backend)) return;
  output.note(`what waits in "${queue}", and what comes: Ctrl-C ends it`, 'faint');
  let seen = new Set<string>();
  while (!signal.aborted) {
    const now = new Set<string>();
    let after: string | undefined;
    do {
      const page = await backend.browseQueue(queue, {
        limit: pageSize,
        ...(after !== undefined && { after }),
      });
      for (const message of page.messages) {
        now.add(message.id);
        if (!seen.has(message.id)) onMessage(message);
      }
      after = page.next;
    } while (after !== undefined && !signal.aborted);
    seen = now;
    await pause(lookEveryMs, signal);
  }
}

/** The broker that has the topic: one whose service knows it, or the only one. */
function topicsConnection(all: Connections, topic: string): Connection {
  const knows = ({ services }: Connection): boolean =>
    services.some(({ service: { plan }, backendName }) => {
      const isPublished = plan.topics.some(
        ({ name, backends }) => name === topic && backends.includes(backendName),
      );
      return (
        isPublished ||
        plan.queues.some(({ topics, backend }) => backend === backendName && topics.includes(topic))
      );
    });
  const [connection, ...others] = all.all.filter(knows);
  return connection !== undefined && others.length === 0 ? connection : all.only;
}

async function print({ output }: CommandContext, all: Connections, message: Message): Promise<void> {
  if (output.json) {
    output.dataLine(messageData(message, await contentOf(message, (one) => all.read(one))));
    return;
  }
  const time = new Date(message.publishedAt ?? Date.now()).toISOString();
  const key = message.key === undefined ? '' : ` key ${message.key}`;
  const head = harmless(`${time} ${message.id} ${message.manifest ?? '-'}${key}`);
  output.line(`${output.tone('faint', head)} ${briefContent(message, 200)}`);
}

function matcherOf({ manifest, header, text }: TailOptions): (message: Message) => boolean {
  const headers = Object.entries(headersOf(header ?? []));
  const needle = text?.toLowerCase();
  return (message) =>
    (manifest === undefined || (message.manifest !== undefined && manifest.includes(message.manifest))) &&
    headers.every(
      ([name, value]) => Object.hasOwn(message.headers, name) && message.headers[name] === value,
    ) &&
    (needle === undefined || textOf(message).toLowerCase().includes(needle));
}

function textOf({ content }: Message): string {
  return typeof content === 'string' ? content : Buffer.from(content ?? []).toString('utf8');
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
