import assert from 'node:assert/strict';
import { type Delivery, MelangeError, type Message } from '@melange/core';
import { behaviours } from '../behaviour.ts';
import {
  type BackendBehaviour,
  type BackendContext,
  needsAnother,
  numbered,
  rejectsWithMelangeError,
  sortedIds,
  waysToPublish,
} from './backend-context.ts';
import { arrivesAtLeastOnce } from './breaking.ts';

/** Closing ends intake at once, waits for what is under way, and loses nothing. */
export const shutdown: readonly BackendBehaviour[] = behaviours<BackendContext>('shutdown', [
  {
    id: 'intake-stops-at-once',
    title: 'after Subscription.close() is called nothing more is handed over, also when room is made',
    async run(context) {
      const queue = await context.queue();
      await context.backend.publishToQueue(queue, numbered(20));
      const receiver = await context.receive(queue, { maxInFlight: 2 });
      const [first, second] = await receiver.take(2);
      const closed = receiver.subscription.close();
      await Promise.all([first?.acknowledge(), second?.release()]);
      await context.soon(closed, 'closing the subscription');
      await receiver.staysQuiet(context.quietMs, 'the subscription is closed');
    },
  },
  {
    id: 'intake-stops-while-receiving',
    title: 'a subscription closed from within receive hands over nothing more',
    async run(context) {
      const queue = await context.queue();
      await context.backend.publishToQueue(queue, numbered(20));
      let closed: Promise<void> | undefined;
      const receiver = await context.receive(queue, {
        maxInFlight: 5,
        handle: async (delivery) => {
          assert.equal(closed, undefined, `${delivery.message.content} came after close()`);
          closed = receiver.subscription.close();
          await delivery.acknowledge();
        },
      });
      await receiver.take(1);
      await context.soon(closed as unknown as Promise<void>, 'closing the subscription');
      await receiver.staysQuiet(context.quietMs, 'the subscription is closed');
    },
  },
  {
    id: 'waits-for-unsettled',
    title: 'Subscription.close() resolves when the last unsettled delivery is settled, not before',
    async run(context) {
      const queue = await context.queue();
      await context.backend.publishToQueue(queue, numbered(2));
      const receiver = await context.receive(queue);
      const [first, second] = await receiver.take(2);
      let isClosed = false;
      const closed = receiver.subscription.close().then(() => {
        isClosed = true;
      });
      await first?.acknowledge();
      await receiver.staysQuiet(context.quietMs, 'the subscription is closed');
      assert.equal(isClosed, false, 'one delivery is unsettled');
      await second?.acknowledge();
      await context.soon(closed, 'closing the subscription');
      await context.soon(receiver.subscription.ended, 'the end of the subscription');
      await context.isEmpty(queue);
    },
  },
  {
    id: 'buffered-go-back',
    title: 'what was not handed over when the subscription closed goes to the next one at once, untouched',
    async run(context) {
      const queue = await context.queue();
      const sent = numbered(30);
      await context.backend.publishToQueue(queue, sent);
      const receiver = await context.receive(queue, { maxInFlight: 10 });
      const [first] = await receiver.take(1);
      const closed = receiver.subscription.close();
      const settled = receiver.deliveries.slice(1).map((delivery) => delivery.release());
      await Promise.all([first?.acknowledge(), ...settled]);
      await context.soon(closed, 'closing the subscription');
      const from = performance.now();
      const next = await context.receive(queue, { handle: (delivery) => delivery.acknowledge() });
      const rest = await next.take(29);
      const tookMs = Math.round(performance.now() - from);
      // Else the broker would have given them back by itself.
      const { leaseMs = context.patienceMs, capabilities } = context;
      assert.ok(tookMs < leaseMs, `they came after ${tookMs} ms, and a lease lasts ${leaseMs} ms`);
      if (capabilities.releaseKeepsAttempt)
        for (const { attempt } of rest) assert.equal(attempt, 1, 'nobody ran it');
      const left = sent.filter(({ id }) => id !== first?.message.id);
      assert.deepEqual(sortedIds(rest.map((delivery) => delivery.message)), sortedIds(left));
    },
  },
  {
    id: 'subscription-close-is-idempotent',
    title: 'closing a subscription twice is the same as once',
    async run(context) {
      const { subscription } = await context.receive(await context.queue());
      await context.soon(Promise.all([subscription.close(), subscription.close()]), 'closing twice');
      await context.soon(subscription.close(), 'closing a third time');
      await context.soon(subscription.ended, 'the end of the subscription');
    },
  },
  {
    id: 'close-is-idempotent',
    title: 'closing a backend twice, at once or later, used or not, is the same as once',
    async run(context) {
      await context.queue();
      await context.soon(Promise.all([context.backend.close(), context.backend.close()]), 'closing twice');
      await context.soon(context.backend[Symbol.asyncDispose](), 'disposing of it');
    },
  },
  {
    id: 'close-unused',
    title: 'a backend that was never used closes',
    async run(context) {
      await context.soon(context.backend.close(), 'closing');
    },
  },
  {
    id: 'close-with-unsettled',
    title: 'closing a backend with unsettled deliveries ends their subscription and aborts their signals',
    async run(context) {
      const queue = await context.queue();
      await context.backend.publishToQueue(queue, numbered(3));
      const receiver = await context.receive(queue);
      const deliveries = await receiver.take(3);
      const signals = deliveries.map((delivery) => delivery.signal);
      await context.soon(context.backend.close(), 'closing');
      await context.soon(Promise.allSettled([receiver.subscription.ended]), 'the end of the subscription');
      for (const signal of signals) {
        assert.equal(signal.aborted, true, 'the delivery is no longer ours');
        assert.ok(MelangeError.is(signal.reason, 'DELIVERY_ABORTED'), String(signal.reason));
      }
      // Too late to count, but a handler that is still running must be able to say that it is done.
      const late = deliveries.map((delivery) => delivery.acknowledge());
      for (const outcome of await context.soon(Promise.allSettled(late), 'settling after the close')) {
        if (outcome.status === 'rejected') assert.ok(MelangeError.is(outcome.reason), String(outcome.reason));
      }
    },
  },
  {
    id: 'unsettled-come-again',
    title: 'deliveries unsettled at the close come again to another backend, messages not delivered too',
    requires: needsAnother,
    async run(context) {
      const queue = await context.queue();
      const sent = numbered(30);
      await context.backend.publishToQueue(queue, sent);
      const receiver = await context.receive(queue, { maxInFlight: 10 });
      await receiver.take(10);
      await context.backend.close();
      const again = await context.receive(
        queue,
        { handle: (one) => one.acknowledge() },
        await context.another(),
      );
      const deliveries = await again.take(30);
      assert.deepEqual(sortedIds(deliveries.map((delivery) => delivery.message)), sortedIds(sent));
    },
  },
  {
    id: 'acknowledged-at-the-close',
    title: 'what was acknowledged in the turn in which the backend closed does not come again',
    requires: needsAnother,
    async run(context) {
      const queue = await context.queue();
      await context.backend.publishToQueue(queue, numbered(10));
      const deliveries = await (await context.receive(queue)).take(10);
      const acknowledged = deliveries.map((delivery) => delivery.acknowledge());
      await context.soon(context.backend.close(), 'closing');
      await context.soon(Promise.all(acknowledged), 'acknowledging');
      await context.isEmpty(queue, await context.another());
    },
  },
  {
    id: 'settled-as-it-closes',
    title: 'what is retried or dead-lettered in the turn in which its subscription closes is so, once',
    async run(context) {
      const deadLetterQueue = context.queueName();
      const queue = await context.queue({ deadLetterQueue });
      const sent = numbered(10);
      await context.backend.publishToQueue(queue, sent);
      const receiver = await context.receive(queue);
      const deliveries = await receiver.take(10);
      const settled = deliveries.map((delivery, index) =>
        index < 5 ? delivery.retry() : delivery.deadLetter({ reason: 'test' }),
      );
      await context.soon(receiver.subscription.close(), 'closing the subscription');
      await context.soon(Promise.all(settled), 'settling');
      const acknowledge = (delivery: Delivery) => delivery.acknowledge();
      const [retried, dead] = [
        await context.receive(queue, { handle: acknowledge }),
        await context.receive(deadLetterQueue, { handle: acknowledge }),
      ];
      const idsOf = (list: readonly Delivery[]) => sortedIds(list.map(({ message }) => message));
      assert.deepEqual(idsOf(await retried.take(5)), idsOf(deliveries.slice(0, 5)));
      assert.deepEqual(idsOf(await dead.take(5)), idsOf(deliveries.slice(5)));
      assert.deepEqual(new Set(retried.deliveries.map(({ attempt }) => attempt)), new Set([2]));
      await retried.staysQuiet(context.quietMs, 'each was retried once');
      await dead.staysQuiet(context.quietMs, 'each was dead-lettered once');
    },
  },
  {
    id: 'publishes-under-way',
    title: 'publishes under way at the close are waited for: they resolve, and are at the broker',
    requires: needsAnother,
    async run(context) {
      const topic = await context.topic();
      const queue = await context.queue({ topics: [topic] });
      // One that has yet to connect, and to ask about the destination.
      const backend = await context.another();
      const sent: Message[] = [];
      const publishes = waysToPublish(backend, queue, topic).flatMap((publish) => {
        const messages = numbered(50);
        sent.push(...messages);
        return messages.map((one) => publish([one]));
      });
      const closed = backend.close();
      await context.soon(Promise.all(publishes), 'publishing');
      await context.soon(closed, 'closing');
      const reader = await context.another();
      const receiver = await context.receive(queue, { handle: (delivery) => delivery.acknowledge() }, reader);
      await arrivesAtLeastOnce(
        receiver,
        sent.map(({ id }) => id),
      );
    },
  },
  {
    id: 'closed-is-not-healthy',
    title: 'a closed backend is not healthy, says why, and refuses work with a Melange error',
    async run(context) {
      const queue = await context.queue();
      await context.backend.close();
      const health = await context.soon(context.backend.health(), 'health');
      assert.notEqual(health.status, 'healthy');
      assert.ok((health.detail ?? '').length > 0, 'health says why');
      const { backend } = context;
      await context.soon(rejectsWithMelangeError(backend.publishToQueue(queue, numbered(1))), 'publishing');
      const subscribed = backend.subscribe(queue, { maxInFlight: 1 }, () => {});
      await context.soon(rejectsWithMelangeError(subscribed), 'subscribing');
    },
  },
]);
