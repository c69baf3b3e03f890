import assert from 'node:assert/strict';
import { behaviours } from '../behaviour.ts';
import {
  type BackendBehaviour,
  type BackendContext,
  message,
  numbered,
  rejectsWith,
  sortedIds,
} from './backend-context.ts';

/** Who gets which message, and how a subscription starts and ends by itself. */
export const subscribe: readonly BackendBehaviour[] = behaviours<BackendContext>('subscribe', [
  {
    id: 'later-messages',
    title: 'a subscription receives what is published before it and after it',
    async run(context) {
      const queue = await context.queue();
      const [before, after] = [message('before'), message('after')];
      await context.backend.publishToQueue(queue, [before]);
      const receiver = await context.receive(queue);
      assert.equal((await receiver.next()).message.id, before.id);
      await context.backend.publishToQueue(queue, [after]);
      assert.equal((await receiver.next()).message.id, after.id);
    },
  },
  {
    id: 'first-attempt',
    title: 'the first delivery of a message is attempt 1 with a signal that is not aborted',
    async run(context) {
      const queue = await context.queue();
      await context.backend.publishToQueue(queue, numbered(3));
      for (const delivery of await (await context.receive(queue)).take(3)) {
        assert.equal(delivery.attempt, 1);
        assert.equal(delivery.signal.aborted, false);
        assert.equal(delivery.signal, delivery.signal, 'the signal is made once');
      }
    },
  },
  {
    id: 'nothing-before-it-resolves',
    title: 'nothing is handed over before subscribe has resolved, however much waits',
    async run(context) {
      const queue = await context.queue();
      await context.backend.publishToQueue(queue, numbered(100));
      let isSubscribed = false;
      let early = 0;
      let seen = 0;
      const subscription = await context.backend.subscribe(queue, { maxInFlight: 50 }, (delivery) => {
        seen += 1;
        if (!isSubscribed) early += 1;
        void delivery.acknowledge();
      });
      isSubscribed = true;
      await context.eventually('all were handed over', () => seen >= 100);
      await context.soon(subscription.close(), 'closing the subscription');
      assert.equal(early, 0, `${early} were handed over before subscribe resolved`);
    },
  },
  {
    id: 'senseless-max-in-flight',
    title: 'a maxInFlight of 0, a fraction, a negative number, NaN or Infinity is refused with CONFIGURATION',
    async run(context) {
      const queue = await context.queue();
      for (const maxInFlight of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])
        await rejectsWith('CONFIGURATION', context.receive(queue, { maxInFlight }));
      await context.backend.publishToQueue(queue, numbered(1));
      await (await context.receive(queue)).take(1);
    },
  },
  {
    id: 'deleted-queue',
    title:
      'when its queue is deleted a subscription waits, health is degraded and says which, and it goes on when the queue is declared again',
    async run(context) {
      const queue = await context.queue();
      const receiver = await context.receive(queue, { handle: (delivery) => delivery.acknowledge() });
      await context.backend.publishToQueue(queue, numbered(1));
      await receiver.take(1);
      await context.backend.deleteQueue(queue);
      await context.eventually('health is degraded', async () => {
        const { status, detail = '' } = await context.backend.health();
        return status !== 'healthy' && detail.includes(queue);
      });
      await context.backend.declareQueue(queue);
      await context.backend.publishToQueue(queue, numbered(3));
      await receiver.take(3);
      await context.eventually(
        'health is healthy again',
        async () => (await context.backend.health()).status === 'healthy',
      );
      await context.soon(receiver.subscription.close(), 'closing the subscription');
      await context.soon(receiver.subscription.ended, 'the end of the subscription');
    },
  },
  {
    id: 'throwing-receiver',
    title: 'a receiver that throws is given its message again after a pause, and the others meanwhile',
    async run(context) {
      const queue = await context.queue();
      const bad = message('bad');
      const throws: number[] = [];
      let meanwhile = 0;
      const seen = new Set<string>();
      const subscription = await context.backend.subscribe(queue, { maxInFlight: 5 }, (delivery) => {
        if (delivery.message.id === bad.id && throws.length < 3) {
          throws.push(performance.now());
          meanwhile = seen.size;
          throw new Error('a defect of the receiver: the suite throws it');
        }
        seen.add(delivery.message.id);
        void delivery.acknowledge();
      });
      await context.backend.publishToQueue(queue, [bad, ...numbered(20)]);
      await context.eventually('all were handed over', () => seen.size >= 21);
      assert.ok(
        meanwhile > 5,
        'the others come while the one that threw waits, and more than the room beside it',
      );
      const [first = 0, second = 0] = throws;
      const pauseMs = Math.round(second - first);
      assert.ok(pauseMs >= 200, `it came again after ${pauseMs} ms: that is a busy loop`);
      await context.soon(subscription.close(), 'closing the subscription');
    },
  },
  {
    id: 'missing-queue',
    title:
      'subscribing to a queue that does not exist rejects with QUEUE_NOT_FOUND, and hurts no other subscription',
    async run(context) {
      const queue = await context.queue();
      const receiver = await context.receive(queue);
      await rejectsWith('QUEUE_NOT_FOUND', context.receive(context.queueName()));
      await context.backend.publishToQueue(queue, numbered(1));
      await (await receiver.next()).acknowledge();
    },
  },
  {
    id: 'competing',
    title: 'competing subscriptions of one queue get each message once, all of them together',
    async run(context) {
      const queue = await context.queue();
      const sent = numbered(90);
      const receivers = await Promise.all(
        [1, 2, 3].map(() =>
          context.receive(queue, { maxInFlight: 5, handle: (delivery) => delivery.acknowledge() }),
        ),
      );
      await context.backend.publishToQueue(queue, sent);
      const arrived = () => receivers.flatMap((receiver) => receiver.ids);
      await context.eventually('every message arrived', () => arrived().length >= sent.length);
      for (const receiver of receivers) await receiver.take(receiver.deliveries.length);
      await Promise.all(receivers.map((one) => one.staysQuiet(context.quietMs, 'every message has arrived')));
      assert.deepEqual(arrived().sort(), sortedIds(sent));
    },
  },
  {
    id: 'independent-queues',
    title: 'subscriptions of several queues each get their own messages',
    async run(context) {
      const queues = await Promise.all([1, 2, 3, 4].map(() => context.queue()));
      const sent = queues.map(() => numbered(10));
      const receivers = await Promise.all(queues.map((queue) => context.receive(queue)));
      await Promise.all(
        queues.map((queue, index) => context.backend.publishToQueue(queue, sent[index] ?? [])),
      );
      for (const [index, receiver] of receivers.entries()) {
        const deliveries = await receiver.take(10);
        assert.deepEqual(
          sortedIds(deliveries.map((delivery) => delivery.message)),
          sortedIds(sent[index] ?? []),
        );
      }
    },
  },
  {
    id: 'reopen',
    title: 'messages continue after a subscription was closed and another one opened',
    async run(context) {
      const queue = await context.queue();
      const sent = numbered(20);
      await context.backend.publishToQueue(queue, sent.slice(0, 10));
      const first = await context.receive(queue, { maxInFlight: 1 });
      const taken = [];
      for (let count = 0; count < 5; count += 1) {
        const delivery = await first.next();
        taken.push(delivery.message);
        if (count === 4) void first.subscription.close();
        await delivery.acknowledge();
      }
      await context.soon(first.subscription.close(), 'closing the subscription');
      await context.backend.publishToQueue(queue, sent.slice(10));
      const second = await context.receive(queue, { handle: (delivery) => delivery.acknowledge() });
      const rest = await second.take(15);
      assert.deepEqual(sortedIds([...taken, ...rest.map((delivery) => delivery.message)]), sortedIds(sent));
    },
  },
  {
    id: 'closing-one-of-two',
    title: 'closing one of two competing subscriptions leaves the other one working',
    async run(context) {
      const queue = await context.queue();
      const [closing, staying] = [await context.receive(queue), await context.receive(queue)];
      await closing.subscription.close();
      const sent = numbered(10);
      await context.backend.publishToQueue(queue, sent);
      const deliveries = await staying.take(10);
      assert.deepEqual(sortedIds(deliveries.map((delivery) => delivery.message)), sortedIds(sent));
      assert.deepEqual(closing.ids, []);
    },
  },
  {
    id: 'until-empty',
    title: 'untilEmpty delivers all that is there, then ends by itself',
    async run(context) {
      const queue = await context.queue();
      const sent = numbered(25);
      await context.backend.publishToQueue(queue, sent);
      const options = { untilEmpty: true, maxInFlight: 4 };
      const receiver = await context.receive(queue, {
        ...options,
        handle: (delivery) => delivery.acknowledge(),
      });
      await context.soon(receiver.subscription.ended, 'the untilEmpty subscription');
      assert.deepEqual([...receiver.ids].sort(), sortedIds(sent));
    },
  },
  {
    id: 'until-empty-after-release',
    title: 'untilEmpty delivers what another one held and gave back, as often as it is asked',
    async run(context) {
      const queue = await context.queue();
      const sent = numbered(5);
      await context.backend.publishToQueue(queue, sent);
      for (let round = 1; round <= 3; round += 1) {
        const receiver = await context.receive(queue, { untilEmpty: true });
        await context.soon(receiver.subscription.ended, 'the untilEmpty subscription');
        assert.deepEqual([...receiver.ids].sort(), sortedIds(sent), `round ${round}`);
        const closed = receiver.subscription.close();
        await Promise.all(receiver.deliveries.map((delivery) => delivery.release()));
        await closed;
      }
    },
  },
  {
    id: 'until-empty-on-nothing',
    title: 'untilEmpty on an empty queue ends without a delivery',
    async run(context) {
      const queue = await context.queue();
      const receiver = await context.receive(queue, { untilEmpty: true });
      await context.soon(receiver.subscription.ended, 'the untilEmpty subscription');
      assert.deepEqual(receiver.ids, []);
    },
  },
  {
    id: 'no-shared-references',
    title: 'what one receiver does to its copy is not seen by another, nor by the next attempt',
    async run(context) {
      const topic = await context.topic();
      const queues = [
        await context.queue({ topics: [topic] }),
        await context.queue({ topics: [topic] }),
      ] as const;
      const sent = message(Uint8Array.of(1, 2, 3), { headers: { kept: 'original' } });
      await context.backend.publishToTopic(topic, [sent]);
      const [first, second] = [await context.receive(queues[0]), await context.receive(queues[1])];
      const spoiled = await first.next();
      (spoiled.message.content as Uint8Array).fill(9);
      try {
        (spoiled.message.headers as Record<string, string>).kept = 'changed';
      } catch {
        // A frozen object is as good as a copy.
      }
      await spoiled.retry();
      for (const delivery of [await second.next(), await first.next()]) {
        assert.deepEqual([...(delivery.message.content as Uint8Array)], [1, 2, 3]);
        assert.equal(delivery.message.headers.kept, 'original');
      }
    },
  },
]);
