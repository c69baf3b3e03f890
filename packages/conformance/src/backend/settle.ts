import assert from 'node:assert/strict';
import type { Delivery, MaybePromise } from '@melange/core';
import { behaviours } from '../behaviour.ts';
import {
  asPublished,
  type BackendBehaviour,
  type BackendContext,
  message,
  needsAnother,
  needsCapability,
  numbered,
  rejectsWith,
  sortedIds,
} from './backend-context.ts';

type Settlement = (delivery: Delivery) => MaybePromise<void>;

const settlements: readonly Settlement[] = [
  (delivery) => delivery.acknowledge(),
  (delivery) => delivery.retry(),
  (delivery) => delivery.release(),
  (delivery) => delivery.deadLetter({ reason: 'test' }),
];

/** A message leaves the broker by its own settlement, once, and by nothing else. */
export const settle: readonly BackendBehaviour[] = behaviours<BackendContext>('settle', [
  {
    id: 'acknowledged-is-gone',
    title: 'an acknowledged message is gone',
    async run(context) {
      const queue = await context.queue();
      await context.backend.publishToQueue(queue, numbered(5));
      const receiver = await context.receive(queue);
      await Promise.all((await receiver.take(5)).map((delivery) => delivery.acknowledge()));
      await receiver.subscription.close();
      await context.isEmpty(queue);
    },
  },
  {
    id: 'acknowledged-is-not-counted',
    title: 'once acknowledge() has resolved the message is not counted, neither as waiting nor as in flight',
    requires: needsCapability('exactDepth', 'the broker tells a hint of how many messages wait'),
    async run(context) {
      const queue = await context.queue();
      await context.backend.publishToQueue(queue, numbered(5));
      for (const delivery of await (await context.receive(queue)).take(5)) await delivery.acknowledge();
      const { depth, inFlight = 0 } = await context.backend.describeQueue(queue);
      assert.deepEqual({ depth, inFlight }, { depth: 0, inFlight: 0 });
    },
  },
  {
    id: 'acknowledged-before-the-close',
    title: 'a message does not come again when its backend is closed right after acknowledge() has resolved',
    requires: needsAnother,
    async run(context) {
      const queue = await context.queue();
      const backend = await context.another();
      await context.backend.publishToQueue(queue, numbered(10));
      const receiver = await context.receive(queue, {}, backend);
      for (const delivery of await receiver.take(10)) await delivery.acknowledge();
      await context.soon(backend.close(), 'closing');
      await context.isEmpty(queue);
    },
  },
  {
    id: 'held-is-not-delivered-again',
    title: 'an unsettled message is delivered to nobody else',
    async run(context) {
      const queue = await context.queue();
      const holder = await context.receive(queue, { maxInFlight: 1 });
      await context.backend.publishToQueue(queue, numbered(1));
      const held = await holder.next();
      const other = await context.receive(queue);
      await other.staysQuiet(context.quietMs, 'the only message is held');
      await holder.staysQuiet(0, 'the only message is held');
      await held.acknowledge();
      await context.isEmpty(queue);
    },
  },
  {
    id: 'unsettled-is-not-lost',
    title: 'what was delivered and not acknowledged comes again after its backend is closed',
    requires: needsAnother,
    async run(context) {
      const queue = await context.queue();
      const sent = numbered(6);
      await context.backend.publishToQueue(queue, sent);
      const receiver = await context.receive(queue);
      const [first, second] = await receiver.take(6);
      await Promise.all([first?.acknowledge(), second?.acknowledge()]);
      await context.backend.close();
      const again = await context.receive(queue, {}, await context.another());
      const deliveries = await again.take(4);
      const left = sent.filter(({ id }) => id !== first?.message.id && id !== second?.message.id);
      assert.deepEqual(sortedIds(deliveries.map((delivery) => delivery.message)), sortedIds(left));
      await again.staysQuiet(context.quietMs, 'two of the six were acknowledged');
    },
  },
  {
    id: 'second-settlement-rejects',
    title: 'a second settlement of any kind rejects with DELIVERY_SETTLED, and changes nothing',
    async run(context) {
      const queue = await context.queue({ deadLetterQueue: context.queueName() });
      const receiver = await context.receive(queue, { maxInFlight: 20 });
      for (const second of settlements) {
        await context.backend.publishToQueue(queue, numbered(1));
        const delivery = await receiver.next();
        await delivery.acknowledge();
        await rejectsWith('DELIVERY_SETTLED', second(delivery));
      }
      for (const first of settlements.slice(1)) {
        await context.backend.publishToQueue(queue, numbered(1));
        const delivery = await receiver.next();
        await first(delivery);
        await rejectsWith('DELIVERY_SETTLED', delivery.acknowledge());
        if (first !== settlements[3]) await (await receiver.next()).acknowledge();
      }
      await receiver.subscription.close();
      await context.isEmpty(queue);
    },
  },
  {
    id: 'settlements-in-one-turn',
    title: 'of two settlements in the same turn the first one counts',
    async run(context) {
      const queue = await context.queue();
      const receiver = await context.receive(queue);
      await context.backend.publishToQueue(queue, numbered(1));
      const delivery = await receiver.next();
      const [first, second] = [delivery.acknowledge(), delivery.retry()];
      await Promise.all([first, rejectsWith('DELIVERY_SETTLED', second)]);
      await receiver.subscription.close();
      await context.isEmpty(queue);
    },
  },
  {
    id: 'out-of-order',
    title: 'acknowledging later deliveries does not acknowledge an earlier one',
    async run(context) {
      const queue = await context.queue();
      const sent = numbered(10);
      await context.backend.publishToQueue(queue, sent);
      const receiver = await context.receive(queue, { maxInFlight: 10 });
      const deliveries = await receiver.take(10);
      const kept = deliveries[2];
      for (const delivery of [...deliveries].reverse()) if (delivery !== kept) await delivery.acknowledge();
      await kept?.release();
      assert.equal((await receiver.next()).message.id, kept?.message.id);
      await receiver.staysQuiet(context.quietMs, 'the other nine were acknowledged');
    },
  },
  {
    id: 'out-of-order-across-close',
    title: 'of deliveries acknowledged out of order only the unsettled one comes again to another backend',
    requires: needsAnother,
    async run(context) {
      const queue = await context.queue();
      await context.backend.publishToQueue(queue, numbered(10));
      const deliveries = await (await context.receive(queue)).take(10);
      const kept = deliveries[3];
      await Promise.all(
        deliveries.filter((delivery) => delivery !== kept).map((delivery) => delivery.acknowledge()),
      );
      await context.backend.close();
      const again = await context.receive(queue, {}, await context.another());
      assert.equal((await again.next()).message.id, kept?.message.id);
      await again.staysQuiet(context.quietMs, 'the other nine were acknowledged');
    },
  },
  {
    id: 'subscriptions-do-not-mix',
    title: 'settling a delivery of one subscription never settles that of another',
    async run(context) {
      const queues = [await context.queue(), await context.queue()] as const;
      const options = { maxInFlight: 1 };
      const [first, second] = [
        await context.receive(queues[0], options),
        await context.receive(queues[1], options),
      ];
      await Promise.all(queues.map((queue) => context.backend.publishToQueue(queue, numbered(2))));
      const [mine, theirs] = [await first.next(), await second.next()];
      await mine.acknowledge();
      await (await first.next()).acknowledge();
      await second.staysQuiet(context.quietMs, 'its one delivery is unsettled');
      await theirs.retry();
      const rest = [];
      for (let count = 0; count < 2; count += 1) {
        const delivery = await second.next();
        rest.push({ id: delivery.message.id, attempt: delivery.attempt });
        await delivery.acknowledge();
      }
      assert.equal(
        rest.find(({ id }) => id === theirs.message.id)?.attempt,
        2,
        'the retried one comes again',
      );
      await context.isEmpty(queues[0]);
    },
  },
  {
    id: 'subscriptions-of-one-queue-do-not-mix',
    title: 'settling a delivery of one subscription never settles that of another one of the same queue',
    async run(context) {
      const queue = await context.queue();
      const options = { maxInFlight: 1 };
      const [first, second] = [await context.receive(queue, options), await context.receive(queue, options)];
      await context.backend.publishToQueue(queue, numbered(2));
      const [mine, theirs] = [await first.next(), await second.next()];
      await mine.acknowledge();
      await theirs.release();
      await context.eventually('the released one comes again', () =>
        [...first.deliveries.slice(1), ...second.deliveries.slice(1)].some(
          (delivery) => delivery.message.id === theirs.message.id,
        ),
      );
    },
  },
  {
    id: 'release',
    title: 'a released message comes again at once, whole',
    async run(context) {
      const queue = await context.queue();
      const sent = message('content', { headers: { kept: 'yes' } });
      await context.backend.publishToQueue(queue, [sent]);
      const receiver = await context.receive(queue);
      await (await receiver.next()).release();
      const again = await receiver.next();
      assert.deepEqual(asPublished(again.message), sent);
      if (context.capabilities.releaseKeepsAttempt) assert.equal(again.attempt, 1);
    },
  },
  {
    id: 'release-keeps-attempt',
    title: 'releasing does not count as an attempt',
    requires: ({ capabilities }) =>
      capabilities.releaseKeepsAttempt ? undefined : 'the broker counts a release as an attempt',
    async run(context) {
      const queue = await context.queue();
      await context.backend.publishToQueue(queue, numbered(1));
      const receiver = await context.receive(queue);
      for (let count = 0; count < 3; count += 1) {
        const delivery = await receiver.next();
        assert.equal(delivery.attempt, 1);
        await delivery.release();
      }
    },
  },
  {
    id: 'many-acknowledgements',
    title: 'acknowledging hundreds at once acknowledges each of them',
    async run(context) {
      const queue = await context.queue();
      await context.backend.publishToQueue(queue, numbered(300));
      const receiver = await context.receive(queue, { maxInFlight: 300 });
      await Promise.all((await receiver.take(300)).map((delivery) => delivery.acknowledge()));
      await receiver.subscription.close();
      await context.isEmpty(queue);
    },
  },
]);
