import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { MelangeError, type Message } from '@melange/core';
import type { AnyService } from '@melange/service';
import type { Connection, Connections } from '../connect/connections.ts';
import type { CommandContext } from '../context.ts';
import { CommandError, describe, exitCode, usageError } from '../exit-codes.ts';
import { headersOf } from './dead-filter.ts';

/** Options of `publish`. */
export interface PublishOptions {
  readonly manifest?: string;
  readonly header?: readonly string[];
  readonly key?: string;
  readonly id?: string;
  readonly file?: string;
  readonly lines?: boolean;
}

/** `publish`: JSON to a queue, or else to a topic. */
export async function publish(
  { connections, output, surroundings }: CommandContext,
  options: PublishOptions,
  destination: string,
  given?: string,
): Promise<number> {
  if (given !== undefined && options.file !== undefined)
    throw usageError('Give the content or --file, not both.');
  const text = given !== undefined && given !== '-' ? given : await read(options.file, surroundings.stdin);
  const contents = options.lines === true ? text.split(/\r?\n/).filter((line) => line.trim() !== '') : [text];
  if (options.id !== undefined && contents.length !== 1) throw usageError('--id is for one message.');
  const all = await connections();
  const messages = contents.map((content) => messageOf(content, options));
  const checked = await Promise.all(messages.map((message) => check(all, message)));
  const [place, ...others] = await all.places(destination);
  if (others.length > 0)
    throw usageError(`Queue "${destination}" exists on several backends: say which with --backend.`);
  if (place !== undefined) await place.connection.backend.publishToQueue(destination, messages);
  else await toTopic(connectionOf(all, destination), destination, messages);
  const kind = place === undefined ? 'topic' : 'queue';
  if (output.json)
    output.data({ destination, kind, ids: messages.map(({ id }) => id), isChecked: checked.every(Boolean) });
  else for (const { id } of messages) output.line(id);
  output.note(`published ${messages.length} to the ${kind} ${destination}`);
  if (!checked.every(Boolean) && all.canRead)
    output.note('No service of the config knows this manifest: the content was not checked.', 'warning');
  return exitCode.done;
}

async function toTopic({ backend }: Connection, topic: string, messages: readonly Message[]): Promise<void> {
  try {
    await backend.publishToTopic(topic, messages);
  } catch (error) {
    if (!MelangeError.is(error, 'TOPIC_NOT_FOUND')) throw error;
    throw new CommandError(`There is no queue and no topic "${topic}".`, exitCode.notFound);
  }
}

/** The broker of a topic: one of a service that publishes to it, or the only one. */
function connectionOf(all: Connections, topic: string): Connection {
  const found = all.all.filter(({ services }) =>
    services.some(({ service: { plan }, backendName }) =>
      plan.topics.some(({ name, backends }) => name === topic && backends.includes(backendName)),
    ),
  );
  return found.length === 1 ? (found[0] as Connection) : all.only;
}

function messageOf(content: string, { manifest = 'json', header = [], key, id }: PublishOptions): Message {
  try {
    JSON.parse(content);
  } catch (error) {
    throw usageError(`The content is not JSON: ${describe(error)}`);
  }
  return {
    id: id ?? randomUUID(),
    content: content.trim(),
    manifest,
    serializerId: 1,
    contentType: 'application/json',
    key,
    headers: headersOf(header),
    publishedAt: Date.now(),
  };
}

/** Reads the message as the services that know its manifest do; answers whether one did. @throws CommandError */
async function check(all: Connections, message: Message): Promise<boolean> {
  let isChecked = false;
  for (const service of all.services) {
    if (!manifestsOf(service).has(message.manifest ?? '')) continue;
    try {
      await service.serializers.deserialize({ ...message, content: message.content as string });
    } catch (error) {
      throw usageError(
        `The content is no ${message.manifest} of the service ${service.name}: ${describe(error)}`,
      );
    }
    isChecked = true;
  }
  return isChecked;
}

function manifestsOf({ plan }: AnyService): Set<string> {
  const carried = [...plan.topics, ...plan.sends].flatMap(({ manifests }) => manifests);
  return new Set([...carried, ...plan.queues.flatMap(({ handles }) => handles)]);
}

async function read(
  file: string | undefined,
  stdin: CommandContext['surroundings']['stdin'],
): Promise<string> {
  if (file !== undefined && file !== '-') {
    return readFile(file, 'utf8').catch((error: unknown) => {
      throw usageError(describe(error));
    });
  }
  if (stdin.isTTY === true) throw usageError('Give the content, --file, or pipe it in.');
  const parts: Buffer[] = [];
  for await (const part of stdin) parts.push(Buffer.from(part));
  return Buffer.concat(parts).toString('utf8');
}
