import {
  type DriverContext,
  describedFilter,
  redeclaredFilter,
  type TopicFilter,
  type TopologyDriver,
} from '@melange/backend-kit';
import { type QueueOptions, TopologyConflictError } from '@melange/core';
import type { NatsClient } from './client.ts';
import { unlessMissing } from './errors.ts';

/** The durable consumer that all subscribers of a queue share. */
export const consumerName = 'melange';
/** Stream of the bindings: a subject of which it has a message is one. */
const bindingStream = 'melange';
/** In place of a queue, in the subject that a topic has from its declaration on. */
const noQueue = '=';

/** A queue that wants a manifest, or all, of a topic. */
interface Binding {
  readonly topic: string;
  readonly queue: string;
  readonly filter: TopicFilter;
  readonly subject: string;
}

/** A queue is a stream with one durable consumer. Its dead-letter queue is the stream's description, which every tool shows. */
export function topology(client: NatsClient, { logger }: DriverContext): TopologyDriver<QueueOptions> {
  const { replicas: num_replicas, leaseMs } = client.settings;
  const bind = (subject: string): Promise<void> => client.publish(subject, { body: '', headers: [] });
  const unbind = async (subject: string): Promise<void> => {
    await unlessMissing(client.manager.streams.purge(bindingStream, { filter: subject }));
  };

  const declareTopic = async (name: string): Promise<void> => {
    const { streams } = client.manager;
    const stream = { name: bindingStream, subjects: [bindingSubject('*', '*')], max_msgs_per_subject: 1 };
    if ((await unlessMissing(streams.info(bindingStream))) === undefined)
      await streams.add({ ...stream, num_replicas });
    await bind(bindingSubject(name, noQueue, 'none'));
  };

  const makeQueue = async (name: string, options: { readonly description?: string }): Promise<void> => {
    const { streams, consumers } = client.manager;
    const stream = streamOf(name);
    const subjects = [queueSubject(name)];
    if ((await unlessMissing(streams.info(stream))) === undefined)
      await streams.add({ name: stream, subjects, retention: 'workqueue', num_replicas, ...options });
    if ((await unlessMissing(consumers.info(stream, consumerName))) !== undefined) return;
    await consumers.add(stream, {
      durable_name: consumerName,
      ack_policy: 'explicit',
      ack_wait: leaseMs * 1_000_000,
      // Messages that wait for their delay count as unsettled: with a bound they would hold up the others.
      max_ack_pending: -1,
    });
  };

  return {
    declareTopic,
    async declareQueue(name, options) {
      const { topics = [], removeTopics = [], deadLetterQueue, replaceFilter = false } = options;
      const found = await unlessMissing(client.manager.streams.info(streamOf(name)));
      if (found !== undefined && found.config.description !== deadLetterQueue)
        throw new TopologyConflictError(
          `Queue "${name}" has the dead-letter queue "${found.config.description ?? 'none'}": declare it so, or delete it.`,
        );
      if (deadLetterQueue !== undefined) await makeQueue(deadLetterQueue, {});
      await makeQueue(name, deadLetterQueue === undefined ? {} : { description: deadLetterQueue });
      for (const topic of topics) {
        await declareTopic(topic);
        const bound = await bindingsOf(client, topic, name);
        const known =
          describedFilter(bound.map((one) => one.filter)) ?? (bound.length > 0 ? 'all' : undefined);
        const filter = redeclaredFilter({ queue: name, topic }, known, options, logger);
        const tokens = filter === 'all' ? [filter] : filter.map(tokenOf);
        const subjects = tokens.map((token) => bindingSubject(topic, name, token));
        await Promise.all(subjects.map(bind));
        const others = bound.map(({ subject }) => subject).filter((subject) => !subjects.includes(subject));
        if (replaceFilter) await Promise.all(others.map(unbind));
      }
      for (const topic of removeTopics) await unbind(bindingSubject(topic, name));
    },
    async describeQueue(name) {
      const { streams, consumers } = client.manager;
      const consumer = await consumers.info(streamOf(name), consumerName);
      const bindings = await bindingsOf(client, '*', name);
      return {
        exists: true,
        depth: consumer.num_pending,
        inFlight: consumer.num_ack_pending,
        deadLetterQueue: (await streams.info(streamOf(name))).config.description,
        topics: [...new Set(bindings.map(({ topic }) => topic))].sort(),
        filter: describedFilter(bindings.map(({ filter }) => filter)),
      };
    },
    async deleteQueue(name) {
      await unbind(bindingSubject('*', name));
      await client.manager.streams.delete(streamOf(name));
    },
    deleteTopic: (name) => unbind(bindingSubject(name, '*')),
  };
}

/** Stream of a queue: the name of a stream has no dots. */
export function streamOf(queue: string): string {
  return `melange-${queue.replaceAll('.', '=')}`;
}

/** Subject that a queue's stream takes. */
export function queueSubject(queue: string): string {
  return `melange.queue.${queue}`;
}

/** The bindings of a topic or, with `*` for it, of a queue, as they are now. A topic that exists has one at least. */
export async function bindingsOf(
  client: NatsClient,
  topic: string,
  queue = '*',
): Promise<readonly Binding[]> {
  const query = { subjects_filter: bindingSubject(topic, queue) };
  const stream = await unlessMissing(client.manager.streams.info(bindingStream, query));
  return Object.keys(stream?.state.subjects ?? {}).map((subject) => {
    const [, , to = '', of = '', token = ''] = subject.split('.');
    const filter = token === 'all' ? token : [Buffer.from(token.slice(1), 'base64url').toString()];
    return { topic: to.replaceAll('=', '.'), queue: of.replaceAll('=', '.'), filter, subject };
  });
}

function bindingSubject(topic: string, queue: string, token = '*'): string {
  return `melange.topic.${topic.replaceAll('.', '=')}.${queue.replaceAll('.', '=')}.${token}`;
}

/** A manifest may have any characters, a subject may not. */
function tokenOf(manifest: string): string {
  return `=${Buffer.from(manifest).toString('base64url')}`;
}
