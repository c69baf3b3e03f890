import assert from 'node:assert/strict';
import type { Delivery } from '@melange/core';
import { behaviours } from '../behaviour.ts';
import { type BackendBehaviour, type BackendContext, numbered, sortedIds } from './backend-context.ts';

/** As much at once as was asked for, and never more. */
export const concurrencyAndBackpressure: readonly BackendBehaviour[] = behaviours<BackendContext>(
  'concurrency and backpressure',
  [
    {
      id: 'never-more-than-max-in-flight',
      title: 'never more than maxInFlight deliveries are unsettled',
      async run(context) {
        for (const maxInFlight of [1, 3, 10]) {
          const queue = await context.queue();
          await context.backend.publishToQueue(queue, numbered(60));
          const { receiver, most } = await countUnsettled(context, queue, maxInFlight);
          await receiver.take(60);
          assert.ok(most() <= maxInFlight, `${most()} unsettled where ${maxInFlight} were asked for`);
        }
      },
    },
    {
      id: 'as-many-as-max-in-flight',
      title: 'as many as maxInFlight are handed over without any being settled',
      async run(context) {
        const queue = await context.queue();
        await context.backend.publishToQueue(queue, numbered(120));
        const receiver = await context.receive(queue, { maxInFlight: 100 });
        await receiver.take(100);
        await receiver.staysQuiet(context.quietMs, 'a hundred are unsettled');
      },
    },
    {
      id: 'settling-makes-room',
      title: 'each kind of settlement makes room for the next delivery',
      async run(context) {
        const queue = await context.queue({ deadLetterQueue: context.queueName() });
        await context.backend.publishToQueue(queue, numbered(5));
        const receiver = await context.receive(queue, { maxInFlight: 1 });
        await (await receiver.next()).acknowledge();
        await (await receiver.next()).deadLetter({ reason: 'test' });
        await (await receiver.next()).retry({ delayMs: 60_000 });
        await (await receiver.next()).release();
        await (await receiver.next()).acknowledge();
        await receiver.next();
      },
    },
    {
      id: 'refused-settlement-keeps-its-place',
      title: 'a dead-lettering that was refused does not make room',
      async run(context) {
        const queue = await context.queue();
        await context.backend.publishToQueue(queue, numbered(2));
        const receiver = await context.receive(queue, { maxInFlight: 1 });
        const delivery = await receiver.next();
        await assert.rejects(delivery.deadLetter({ reason: 'test' }));
        await receiver.staysQuiet(context.quietMs, 'the first one is unsettled');
        await delivery.acknowledge();
        await receiver.next();
      },
    },
    {
      id: 'bounds-are-separate',
      title: 'a subscription that settles nothing does not hold up another one, of its queue or of another',
      async run(context) {
        const [slow, quick] = [await context.queue(), await context.queue()];
        await context.backend.publishToQueue(slow, numbered(20));
        const stuck = await context.receive(slow, { maxInFlight: 2 });
        await stuck.take(2);
        const beside = await context.receive(slow, { handle: (delivery) => delivery.acknowledge() });
        await context.backend.publishToQueue(quick, numbered(20));
        const other = await context.receive(quick, { handle: (delivery) => delivery.acknowledge() });
        await Promise.all([beside.take(18), other.take(20)]);
      },
    },
    {
      id: 'publishers-and-subscribers',
      title: 'concurrent publishers and subscribers: every message is processed once',
      async run(context) {
        const queue = await context.queue();
        const sent = numbered(400);
        const subscriptions = await Promise.all(
          [3, 5, 8].map((size) => countUnsettled(context, queue, size)),
        );
        const batches = Array.from({ length: 80 }, (_, index) => sent.slice(index * 5, index * 5 + 5));
        await Promise.all(batches.map((batch) => context.backend.publishToQueue(queue, batch)));
        const arrived = () => subscriptions.flatMap(({ receiver }) => receiver.ids);
        await context.eventually('every message arrived', () => arrived().length >= sent.length);
        assert.deepEqual(arrived().sort(), sortedIds(sent));
        for (const [index, maxInFlight] of [3, 5, 8].entries()) {
          assert.ok(
            (subscriptions[index]?.most() ?? 0) <= maxInFlight,
            `no more than ${maxInFlight} unsettled`,
          );
        }
      },
    },
    {
      id: 'publishing-from-a-receiver',
      title: 'a receiver may publish to its own queue while it holds the only slot',
      async run(context) {
        const queue = await context.queue();
        const [first, next] = numbered(2);
        assert.ok(first !== undefined && next !== undefined);
        const handle = async (delivery: Delivery) => {
          if (delivery.message.id === first.id) await context.backend.publishToQueue(queue, [next]);
          await delivery.acknowledge();
        };
        const receiver = await context.receive(queue, { maxInFlight: 1, handle });
        await context.backend.publishToQueue(queue, [first]);
        await receiver.take(2);
        assert.deepEqual(receiver.ids, [first.id, next.id]);
      },
    },
  ],
);

/** Acknowledges each delivery a few turns after it came, and counts how many were unsettled at once. */
async function countUnsettled(context: BackendContext, queue: string, maxInFlight: number) {
  let unsettled = 0;
  let most = 0;
  const handle = async (delivery: Delivery) => {
    unsettled += 1;
    most = Math.max(most, unsettled);
    await new Promise((resolve) => setTimeout(resolve, unsettled % 3));
    // The slot is free from the call on: what the broker does with the acknowledgement is its own affair.
    unsettled -= 1;
    await delivery.acknowledge();
  };
  return { receiver: await context.receive(queue, { maxInFlight, handle }), most: () => most };
}
