import type { DriverContext, TopicFilter, TopologyDriver } from '@melange/backend-kit';
import { describedFilter, redeclaredFilter, unlessMissing } from '@melange/backend-kit';
import { type QueueOptions, TopologyConflictError } from '@melange/core';
import type { StreamConfig } from '@nats-io/jetstream';
import type { NatsClient } from './client.ts';
import { explain } from './errors.ts';

/** The durable consumer that all subscribers of a queue share. */
export const consumerName = 'melange';
/** Stream whose subjects are the bindings. */
const bindingStream = 'melange';

/** A queue that wants a manifest, or all, of a topic. */
interface Binding {
  readonly topic: string;
  readonly queue: string;
  readonly filter: TopicFilter;
  readonly subject: string;
}

/** A queue is a stream with one durable consumer. Its dead-letter queue is the stream's description, which every tool shows. */
export function topology(client: NatsClient, { logger }: DriverContext): TopologyDriver<QueueOptions> {
  const { replicas, leaseMs } = client.settings;
  const bind = (subject: string): Promise<void> => client.publish(subject, { body: '', headers: [] });
  const unbind = async (filter: string): Promise<void> => {
    await unlessMissing(explain, client.manager.streams.purge(bindingStream, { filter }));
  };

  const makeStream = async (
    config: Partial<StreamConfig> & { readonly name: string },
  ): Promise<StreamConfig> => {
    const { streams } = client.manager;
    const found = await unlessMissing(explain, streams.info(config.name));
    return (found ?? (await streams.add({ ...config, num_replicas: replicas }))).config;
  };

  /** Resolves with the dead-letter queue that it has: one that exists stays as it is. */
  const makeQueue = async (name: string, description = ''): Promise<string> => {
    const { consumers } = client.manager;
    const subjects = [queueSubject(name)];
    const stream = await makeStream({ name: streamOf(name), subjects, retention: 'workqueue', description });
    if ((await unlessMissing(explain, consumers.info(stream.name, consumerName))) === undefined)
      await consumers.add(stream.name, {
        durable_name: consumerName,
        ack_policy: 'explicit',
        ack_wait: leaseMs * 1_000_000,
        // Messages that wait for their delay count as unsettled: with a bound they would hold up the others.
        max_ack_pending: -1,
      });
    return stream.description ?? '';
  };

  const declareTopic = async (name: string): Promise<void> => {
    await makeStream({ name: bindingStream, subjects: [bindingSubject('*', '*')], max_msgs_per_subject: 1 });
    // Of a queue that no queue can be named like.
    await bind(bindingSubject(name, '=', 'none'));
  };

  return {
    declareTopic,
    async declareQueue(name, options) {
      const { topics = [], removeTopics = [], deadLetterQueue = '', replaceFilter = false } = options;
      const existing = await makeQueue(name, deadLetterQueue);
      if (existing !== deadLetterQueue)
        throw new TopologyConflictError(`Queue "${name}" exists with the dead-letter queue "${existing}".`);
      if (deadLetterQueue !== '') await makeQueue(deadLetterQueue);
      for (const topic of topics) {
        await declareTopic(topic);
        const known = await bindingsOf(client, topic, name);
        const filters = known.map((binding) => binding.filter);
        const filter = redeclaredFilter({ queue: name, topic }, filters, options, logger);
        const tokens = filter === 'all' ? [filter] : filter.map(tokenOf);
        const subjects = tokens.map((token) => bindingSubject(topic, name, token));
        await Promise.all(subjects.map(bind));
        const others = known.map(({ subject }) => subject).filter((subject) => !subjects.includes(subject));
        if (replaceFilter) await Promise.all(others.map(unbind));
      }
      for (const topic of removeTopics) await unbind(bindingSubject(topic, name));
    },
    async describeQueue(name) {
      const { streams, consumers } = client.manager;
      const { num_pending: depth, num_ack_pending: inFlight } = await consumers.info(
        streamOf(name),
        consumerName,
      );
      const { description = '' } = (await streams.info(streamOf(name))).config;
      const bindings = await bindingsOf(client, '*', name);
      const topics = [...new Set(bindings.map(({ topic }) => topic))].sort();
      const filter = describedFilter(bindings.map((binding) => binding.filter));
      return { exists: true, depth, inFlight, deadLetterQueue: description || undefined, topics, filter };
    },
    async deleteQueue(name) {
      await unbind(bindingSubject('*', name));
      await client.manager.streams.delete(streamOf(name));
    },
    deleteTopic: (name) => unbind(bindingSubject(name, '*')),
  };
}

/** Stream of a queue. */
export function streamOf(queue: string): string {
  return `melange-${queue}`;
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
  const stream = await unlessMissing(explain, client.manager.streams.info(bindingStream, query));
  return Object.keys(stream?.state.subjects ?? {}).map((subject) => {
    const [, , of = '', to = '', token = ''] = subject.split('.');
    const filter = token === 'all' ? token : [Buffer.from(token.slice(1), 'base64url').toString()];
    return { topic: of, queue: to, filter, subject };
  });
}

function bindingSubject(topic: string, queue: string, token = '*'): string {
  return `melange.topic.${topic}.${queue}.${token}`;
}

/** A manifest may have any characters, a subject may not. */
function tokenOf(manifest: string): string {
  return `=${Buffer.from(manifest).toString('base64url')}`;
}
