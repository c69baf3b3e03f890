import assert from 'node:assert/strict';
import { behaviours } from '../behaviour.ts';
import {
  type BackendBehaviour,
  type BackendContext,
  message,
  needsAnother,
  needsCapability,
  numbered,
  rejectsWith,
} from './backend-context.ts';

/** Declaring is idempotent, adds only, and never disturbs whoever is at work. */
export const topology: readonly BackendBehaviour[] = behaviours<BackendContext>('topology', [
  {
    id: 'declares-its-capabilities',
    title: 'the backend has a name and the capabilities that its suite was given',
    async run({ backend, capabilities }) {
      assert.ok(backend.name.length > 0);
      assert.deepEqual({ ...backend.capabilities }, { ...capabilities });
    },
  },
  {
    id: 'idempotent',
    title: 'declaring again, also concurrently, keeps the messages',
    async run(context) {
      const options = { topics: [await context.topic()], deadLetterQueue: context.queueName() };
      const queue = await context.queue(options);
      await context.backend.publishToQueue(queue, numbered(3));
      await Promise.all([1, 2, 3].map(() => context.backend.declareQueue(queue, options)));
      await (await context.receive(queue)).take(3);
    },
  },
  {
    id: 'topics-are-idempotent',
    title: 'declaring a topic again keeps its queues',
    async run(context) {
      const topic = await context.topic();
      const queue = await context.queue({ topics: [topic] });
      await context.backend.declareTopic(topic);
      await context.backend.publishToTopic(topic, numbered(1));
      await (await context.receive(queue)).take(1);
    },
  },
  {
    id: 'makes-what-is-missing',
    title: 'declaring a queue makes its topics and its dead-letter queue',
    async run(context) {
      const [topic, deadLetterQueue] = [context.topicName(), context.queueName()];
      const queue = await context.queue({ topics: [topic], deadLetterQueue });
      await context.backend.publishToTopic(topic, numbered(1));
      await (await context.receive(queue)).take(1);
      assert.equal((await context.backend.describeQueue(deadLetterQueue)).exists, true);
    },
  },
  {
    id: 'adds-topics',
    title: 'declaring again with another topic adds it and drops none',
    async run(context) {
      const [first, second] = [await context.topic(), await context.topic()];
      const queue = await context.queue({ topics: [first] });
      await context.backend.declareQueue(queue, { topics: [second] });
      const sent = numbered(2);
      await context.backend.publishToTopic(first, sent.slice(0, 1));
      await context.backend.publishToTopic(second, sent.slice(1));
      const deliveries = await (await context.receive(queue)).take(2);
      assert.deepEqual(deliveries.map((one) => one.message.id).sort(), sent.map(({ id }) => id).sort());
    },
  },
  {
    id: 'removes-topics-by-name',
    title: 'removeTopics takes a topic away, one that it was not bound to too, and what came from it stays',
    async run(context) {
      const [first, second] = [await context.topic(), await context.topic()];
      const queue = await context.queue({ topics: [first, second] });
      const kept = message('kept');
      await context.backend.publishToTopic(first, [kept]);
      await context.backend.declareQueue(queue, { removeTopics: [first, context.topicName()] });
      const later = message('later');
      await context.backend.publishToTopic(first, [message('not bound any more')]);
      await context.backend.publishToTopic(second, [later]);
      const receiver = await context.receive(queue);
      const deliveries = await receiver.take(context.capabilities.queuesKeepTopicMessages ? 2 : 1);
      const ids = deliveries.map((delivery) => delivery.message.id);
      assert.ok(ids.includes(later.id), 'the topic that was not removed is still bound');
      await receiver.staysQuiet(context.quietMs, 'the other topic was removed');
    },
  },
  {
    id: 'describes-topics-and-filter',
    title: 'describeQueue tells topics and filter, where the broker tells, as the declarations left them',
    async run(context) {
      const topics = [await context.topic(), await context.topic()].sort();
      const [first = '', second = ''] = topics;
      const queue = await context.queue({ topics: [first], filter: ['B', 'A'] });
      const told = await context.backend.describeQueue(queue);
      if (told.topics === undefined) return;
      assert.deepEqual([told.topics, told.filter], [[first], ['A', 'B']]);
      await context.backend.declareQueue(queue, { topics: [second], filter: ['C'] });
      const both = await context.backend.describeQueue(queue);
      assert.deepEqual([both.topics, both.filter], [topics, ['A', 'B', 'C']]);
      await context.backend.declareQueue(queue, { topics: [second], removeTopics: [first] });
      const all = await context.backend.describeQueue(queue);
      assert.deepEqual([all.topics, all.filter], [[second], undefined]);
    },
  },
  {
    id: 'dead-letters-of-a-queue-made-again',
    title: 'a queue that was deleted and made again under its name takes its dead letters like the first one',
    async run(context) {
      const deadLetterQueue = context.queueName();
      const queue = context.queueName();
      const sent = numbered(2);
      for (const one of sent) {
        await context.backend.declareQueue(queue, { deadLetterQueue });
        await context.backend.publishToQueue(queue, [one]);
        const receiver = await context.receive(queue);
        await (await receiver.next()).deadLetter({ reason: 'test' });
        await receiver.subscription.close();
        await context.backend.deleteQueue(queue);
      }
      const dead = await (await context.receive(deadLetterQueue)).take(2);
      assert.deepEqual(dead.map((one) => one.message.id).sort(), sent.map(({ id }) => id).sort());
    },
  },
  {
    id: 'conflict',
    title: 'declaring with another dead-letter queue rejects with TOPOLOGY_CONFLICT, and changes nothing',
    async run(context) {
      const deadLetterQueue = context.queueName();
      const queue = await context.queue({ deadLetterQueue });
      const different = { deadLetterQueue: context.queueName() };
      await rejectsWith('TOPOLOGY_CONFLICT', context.backend.declareQueue(queue, different));
      assert.equal((await context.backend.describeQueue(queue)).deadLetterQueue, deadLetterQueue);
      await context.backend.publishToQueue(queue, numbered(1));
      await (await (await context.receive(queue)).next()).deadLetter({ reason: 'test' });
      await (await context.receive(deadLetterQueue)).take(1);
    },
  },
  {
    id: 'conflict-disturbs-nobody',
    title: 'a conflicting declaration hurts no open subscription and no unsettled delivery',
    async run(context) {
      const queue = await context.queue({ deadLetterQueue: context.queueName() });
      const receiver = await context.receive(queue, { maxInFlight: 2 });
      await context.backend.publishToQueue(queue, numbered(1));
      const held = await receiver.next();
      const conflict = context.backend.declareQueue(queue, { deadLetterQueue: context.queueName() });
      const publishes = numbered(5).map((one) => context.backend.publishToQueue(queue, [one]));
      await rejectsWith('TOPOLOGY_CONFLICT', conflict);
      await Promise.all(publishes);
      assert.equal(held.signal.aborted, false);
      await held.acknowledge();
      for (let count = 0; count < 5; count += 1) await (await receiver.next()).acknowledge();
      await receiver.staysQuiet(context.quietMs, 'nothing was redelivered');
    },
  },
  {
    id: 'conflict-with-another-backend',
    title: 'a queue that another backend declared differently is a TOPOLOGY_CONFLICT too',
    requires: needsAnother,
    async run(context) {
      const queue = await context.queue({ deadLetterQueue: context.queueName() });
      const other = await context.another();
      await rejectsWith(
        'TOPOLOGY_CONFLICT',
        other.declareQueue(queue, { deadLetterQueue: context.queueName() }),
      );
      await other.publishToQueue(queue, numbered(1));
      await (await context.receive(queue)).take(1);
    },
  },
  {
    id: 'describe-queue',
    title: 'describeQueue knows the dead-letter queue and the depth',
    async run(context) {
      const deadLetterQueue = context.queueName();
      const queue = await context.queue({ deadLetterQueue });
      await context.backend.publishToQueue(queue, numbered(7));
      await context.eventually(
        'the depth is 7',
        async () => (await context.backend.describeQueue(queue)).depth === 7,
      );
      const description = await context.backend.describeQueue(queue);
      assert.equal(description.exists, true);
      assert.equal(description.deadLetterQueue, deadLetterQueue);
      assert.equal((await context.backend.describeQueue(deadLetterQueue)).deadLetterQueue, undefined);
    },
  },
  {
    id: 'depth-of-what-waits',
    title: 'describeQueue counts the messages that wait, without those in flight, delayed or settled',
    requires: needsCapability('exactDepth', 'the broker tells a hint of how many messages wait'),
    async run(context) {
      const queue = await context.queue();
      await context.backend.publishToQueue(queue, numbered(7));
      const receiver = await context.receive(queue, { maxInFlight: 4 });
      const [settled, delayed] = await receiver.take(4);
      await settled?.acknowledge();
      await delayed?.retry({ delayMs: 60_000 });
      await receiver.take(2);
      const counts = async () => {
        const { depth, inFlight } = await context.backend.describeQueue(queue);
        return { depth, ...(inFlight !== undefined && { inFlight }) };
      };
      await context.eventually('1 message waits', async () => (await counts()).depth === 1);
      const { inFlight = 4 } = await counts();
      assert.equal(inFlight, 4, 'messages in flight');
    },
  },
  {
    id: 'describe-missing-queue',
    title: 'describeQueue answers for a queue that does not exist, and hurts nobody',
    async run(context) {
      const queue = await context.queue();
      const receiver = await context.receive(queue);
      const { exists, depth } = await context.backend.describeQueue(context.queueName());
      assert.deepEqual({ exists, depth }, { exists: false, depth: 0 });
      await context.backend.publishToQueue(queue, numbered(1));
      await (await receiver.next()).acknowledge();
    },
  },
  {
    id: 'delete-queue',
    title: 'a deleted queue is gone with its messages; deleting it again does nothing',
    async run(context) {
      const queue = await context.queue();
      await context.backend.publishToQueue(queue, numbered(3));
      await context.backend.deleteQueue(queue);
      await context.backend.deleteQueue(queue);
      assert.equal((await context.backend.describeQueue(queue)).exists, false);
      await rejectsWith('QUEUE_NOT_FOUND', context.backend.publishToQueue(queue, numbered(1)));
      await context.backend.declareQueue(queue);
      const fresh = message('fresh');
      await context.backend.publishToQueue(queue, [fresh]);
      assert.equal((await (await context.receive(queue)).next()).message.id, fresh.id);
    },
  },
  {
    id: 'healthy',
    title: 'a backend that works is healthy',
    async run(context) {
      await context.queue();
      assert.equal((await context.soon(context.backend.health(), 'health')).status, 'healthy');
    },
  },
]);
