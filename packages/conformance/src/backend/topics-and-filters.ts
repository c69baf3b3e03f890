import assert from 'node:assert/strict';
import { behaviours } from '../behaviour.ts';
import {
  asPublished,
  type BackendBehaviour,
  type BackendContext,
  message,
  needsCapability,
  numbered,
  rejectsWith,
  sortedIds,
} from './backend-context.ts';
import type { Receiver } from './receiver.ts';

/** A topic gives every bound queue its copy; filters choose by manifest, at topics only. */
export const topicsAndFilters: readonly BackendBehaviour[] = behaviours<BackendContext>(
  'topics and filters',
  [
    {
      id: 'fan-out',
      title: 'every queue of a topic gets every message, each queue its own copy',
      async run(context) {
        const topic = await context.topic();
        const queues = await Promise.all([1, 2, 3].map(() => context.queue({ topics: [topic] })));
        const sent = numbered(20);
        await context.backend.publishToTopic(topic, sent);
        for (const queue of queues) {
          const deliveries = await (await context.receive(queue, { maxInFlight: 20 })).take(20);
          assert.deepEqual(sortedIds(deliveries.map((delivery) => delivery.message)), sortedIds(sent));
          await Promise.all(deliveries.map((delivery) => delivery.acknowledge()));
        }
      },
    },
    {
      id: 'envelope-round-trip',
      title: 'a message through a topic keeps its envelope and headers',
      async run(context) {
        const topic = await context.topic();
        const queue = await context.queue({ topics: [topic] });
        const sent = message(Uint8Array.of(0, 1, 255), { key: 'k', headers: { traceparent: '00-1-1-01' } });
        await context.backend.publishToTopic(topic, [sent]);
        const { message: received } = await (await context.receive(queue)).next();
        assert.deepEqual([...(received.content as Uint8Array)], [0, 1, 255]);
        assert.deepEqual({ ...asPublished(received), content: '' }, { ...sent, content: '' });
      },
    },
    {
      id: 'no-queues',
      title: 'a topic without queues takes messages and drops them',
      async run(context) {
        const topic = await context.topic();
        await context.soon(
          context.backend.publishToTopic(topic, numbered(5)),
          'publishing to a topic without queues',
        );
        const queue = await context.queue({ topics: [topic] });
        const later = message('later');
        await context.backend.publishToTopic(topic, [later]);
        const receiver = await context.receive(queue);
        assert.equal((await receiver.next()).message.id, later.id);
      },
    },
    {
      id: 'missing-topic',
      title:
        'publishing to a topic that does not exist rejects with TOPIC_NOT_FOUND, and hurts no other publish',
      async run(context) {
        const queue = await context.queue();
        const sent = numbered(10);
        const publishes = sent.map((one) => context.backend.publishToQueue(queue, [one]));
        await rejectsWith(
          'TOPIC_NOT_FOUND',
          context.backend.publishToTopic(context.topicName(), numbered(2)),
        );
        await Promise.all(publishes);
        await (await context.receive(queue)).take(10);
      },
    },
    {
      id: 'several-topics',
      title: 'a queue of several topics gets the messages of all of them',
      async run(context) {
        const topics = [await context.topic(), await context.topic()];
        const queue = await context.queue({ topics });
        const sent = numbered(2);
        for (const [index, topic] of topics.entries()) {
          await context.backend.publishToTopic(topic, sent.slice(index, index + 1));
        }
        const deliveries = await (await context.receive(queue)).take(2);
        assert.deepEqual(sortedIds(deliveries.map((delivery) => delivery.message)), sortedIds(sent));
      },
    },
    {
      id: 'filter',
      title: 'a filter lets only the listed manifests of a topic through, for its own queue only',
      async run(context) {
        const topic = await context.topic();
        const filtered = await context.queue({ topics: [topic], filter: ['Wanted', 'shop.v1.AlsoWanted'] });
        const everything = await context.queue({ topics: [topic] });
        const sent = ['Wanted', 'Unwanted', 'shop.v1.AlsoWanted', undefined, 'wanted'].map((manifest) =>
          message('content', { manifest }),
        );
        await context.backend.publishToTopic(topic, sent);
        await (await context.receive(everything)).take(5);
        const receiver = await context.receive(filtered);
        const manifests = (await receiver.take(2)).map((delivery) => delivery.message.manifest);
        assert.deepEqual(manifests.sort(), ['Wanted', 'shop.v1.AlsoWanted']);
        await receiver.staysQuiet(context.quietMs, 'the other manifests are not listed');
      },
    },
    {
      id: 'filter-is-literal',
      title: 'a filter is literal: signs that a broker reads as wildcards match only themselves',
      async run(context) {
        const topic = await context.topic();
        const queue = await context.queue({ topics: [topic], filter: ['shop.v1.*', '#', 'a*'] });
        const last = message('last', { manifest: 'shop.v1.*' });
        await context.backend.publishToTopic(topic, [
          message('no', { manifest: 'shop.v1.OrderPlaced' }),
          message('no', { manifest: 'abc' }),
          last,
        ]);
        await arrivesAlone(await context.receive(queue), last.id, context.quietMs);
      },
    },
    {
      id: 'filter-spares-direct-publishes',
      title: 'what is published to the queue itself arrives whatever its filter',
      async run(context) {
        const topic = await context.topic();
        const queue = await context.queue({ topics: [topic], filter: ['Wanted'] });
        const direct = message('direct', { manifest: 'Unwanted' });
        await context.backend.publishToTopic(topic, [message('no', { manifest: 'Unwanted' })]);
        await context.backend.publishToQueue(queue, [direct]);
        await arrivesAlone(await context.receive(queue), direct.id, context.quietMs);
      },
    },
    {
      id: 'filters-add-up',
      title: 'declaring again with another filter adds to it, and without one lets everything through',
      async run(context) {
        const topic = await context.topic();
        const queue = await context.queue({ topics: [topic], filter: ['A'] });
        const receiver = await context.receive(queue, { handle: (delivery) => delivery.acknowledge() });
        const seen = async (count: number) =>
          (await receiver.take(count)).map((delivery) => delivery.message.manifest).sort();
        const publish = () =>
          context.backend.publishToTopic(
            topic,
            ['C', 'B', 'A'].map((manifest) => message('content', { manifest })),
          );
        await context.backend.declareQueue(queue, { topics: [topic], filter: ['B'] });
        await publish();
        assert.deepEqual(await seen(2), ['A', 'B']);
        await receiver.staysQuiet(context.quietMs, 'nobody asked for C');
        await context.backend.declareQueue(queue, { topics: [topic] });
        await publish();
        assert.deepEqual(await seen(3), ['A', 'B', 'C']);
        await context.backend.declareQueue(queue, { topics: [topic], filter: ['A'] });
        await publish();
        assert.deepEqual(await seen(3), ['A', 'B', 'C'], 'a filter is never narrowed by itself');
      },
    },
    {
      id: 'replaces-a-filter',
      title: 'with replaceFilter the filter is exactly what the declaration says',
      async run(context) {
        const topic = await context.topic();
        const queue = await context.queue({ topics: [topic], filter: ['A', 'B'] });
        await context.backend.declareQueue(queue, { topics: [topic], filter: ['B'], replaceFilter: true });
        const last = message('last', { manifest: 'B' });
        await context.backend.publishToTopic(topic, [message('no', { manifest: 'A' }), last]);
        await arrivesAlone(await context.receive(queue), last.id, context.quietMs);
      },
    },
    {
      id: 'order-of-a-topic',
      title: 'messages of a topic arrive in the order of publication',
      requires: needsCapability('ordered', 'the broker keeps no order among the messages of a topic'),
      async run(context) {
        const topic = await context.topic();
        const queue = await context.queue({ topics: [topic] });
        const sent = numbered(50, { key: 'one' });
        await context.backend.publishToTopic(topic, sent);
        const receiver = await context.receive(queue, { handle: (delivery) => delivery.acknowledge() });
        await receiver.take(50);
        assert.deepEqual(
          receiver.ids,
          sent.map(({ id }) => id),
        );
      },
    },
    {
      id: 'delete-topic',
      title: 'deleting a topic leaves its queues; publishing to it then rejects',
      async run(context) {
        const topic = await context.topic();
        const queue = await context.queue({ topics: [topic] });
        const receiver = await context.receive(queue);
        await context.backend.publishToTopic(topic, numbered(1));
        await (await receiver.next()).acknowledge();
        await context.backend.deleteTopic(topic);
        await context.backend.deleteTopic(topic);
        await rejectsWith('TOPIC_NOT_FOUND', context.backend.publishToTopic(topic, numbered(1)));
        await context.backend.publishToQueue(queue, numbered(1));
        await (await receiver.next()).acknowledge();
        await receiver.staysQuiet(context.quietMs, 'both messages were acknowledged');
      },
    },
    {
      id: 'delete-topic-with-messages',
      title: 'deleting a topic takes nothing away from its queues',
      requires: needsCapability(
        'queuesKeepTopicMessages',
        'messages of a topic are kept by the topic, not by each of its queues',
      ),
      async run(context) {
        const topic = await context.topic();
        const queue = await context.queue({ topics: [topic] });
        await context.backend.publishToTopic(topic, numbered(1));
        await context.backend.deleteTopic(topic);
        await context.backend.publishToQueue(queue, numbered(1));
        await (await context.receive(queue)).take(2);
      },
    },
  ],
);

async function arrivesAlone(receiver: Receiver, id: string, quietMs: number): Promise<void> {
  assert.equal((await receiver.next()).message.id, id);
  await receiver.staysQuiet(quietMs, 'nothing else passes');
}
