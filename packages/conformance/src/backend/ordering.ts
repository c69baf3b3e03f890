import assert from 'node:assert/strict';
import { behaviours } from '../behaviour.ts';
import {
  type BackendBehaviour,
  type BackendContext,
  message,
  needsCapability,
  numbered,
} from './backend-context.ts';

const needsOrder = needsCapability('ordered', 'the broker keeps no order among the messages of a queue');

/** One subscriber sees the order of publication; competing ones that of each key, where the broker can. */
export const ordering: readonly BackendBehaviour[] = behaviours<BackendContext>('ordering', [
  {
    id: 'one-at-a-time',
    title: 'one subscriber with one message in flight receives in the order of publication',
    requires: needsOrder,
    async run(context) {
      const queue = await context.queue();
      const sent = numbered(40, { key: 'one' });
      await context.backend.publishToQueue(queue, sent);
      const receiver = await context.receive(queue, {
        maxInFlight: 1,
        handle: (delivery) => delivery.acknowledge(),
      });
      await receiver.take(40);
      assert.deepEqual(
        receiver.ids,
        sent.map(({ id }) => id),
      );
    },
  },
  {
    id: 'many-in-flight',
    title: 'one subscriber with many messages in flight is handed them in the order of publication',
    requires: needsOrder,
    async run(context) {
      const queue = await context.queue();
      const receiver = await context.receive(queue, {
        maxInFlight: 50,
        handle: (delivery) => delivery.acknowledge(),
      });
      const sent = numbered(200, { key: 'one' });
      await context.backend.publishToQueue(queue, sent);
      await receiver.take(200);
      assert.deepEqual(
        receiver.ids,
        sent.map(({ id }) => id),
      );
    },
  },
  {
    id: 'publish-after-publish',
    title: 'publishes that follow each other arrive in that order',
    requires: needsOrder,
    async run(context) {
      const queue = await context.queue();
      const sent = numbered(30, { key: 'one' });
      for (const one of sent) await context.backend.publishToQueue(queue, [one]);
      const receiver = await context.receive(queue, {
        maxInFlight: 5,
        handle: (delivery) => delivery.acknowledge(),
      });
      await receiver.take(30);
      assert.deepEqual(
        receiver.ids,
        sent.map(({ id }) => id),
      );
    },
  },
  {
    id: 'publishes-in-one-turn',
    title: 'publishes called in one turn arrive in the order of the calls',
    requires: needsOrder,
    async run(context) {
      const queue = await context.queue();
      const sent = numbered(100, { key: 'one' });
      await Promise.all(sent.map((one) => context.backend.publishToQueue(queue, [one])));
      const receiver = await context.receive(queue, {
        maxInFlight: 5,
        handle: (delivery) => delivery.acknowledge(),
      });
      await receiver.take(100);
      assert.deepEqual(
        receiver.ids,
        sent.map(({ id }) => id),
      );
    },
  },
  {
    id: 'by-key',
    title: 'competing subscribers never have two messages of one key at once, nor out of order',
    requires: needsCapability('orderingByKey', 'the broker does not order by key'),
    async run(context) {
      const queue = await context.queue();
      const sent = Array.from({ length: 80 }, (_, index) =>
        message(String(index), { key: `key-${index % 4}` }),
      );
      await context.backend.publishToQueue(queue, sent);
      const unsettled = new Set<string | undefined>();
      const seen = new Map<string | undefined, number>();
      const handle = async (
        delivery: { readonly message: { key: string | undefined; content: unknown } } & {
          acknowledge(): unknown;
        },
      ) => {
        const { key, content } = delivery.message;
        assert.ok(!unsettled.has(key), `two messages of ${key} at once`);
        assert.ok(Number(content) > (seen.get(key) ?? -1), `${content} of ${key} out of order`);
        unsettled.add(key);
        seen.set(key, Number(content));
        // Two turns of the event loop give a broken backend the chance to deliver the next one too early.
        await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
        unsettled.delete(key);
        await delivery.acknowledge();
      };
      const receivers = [await context.receive(queue, { handle }), await context.receive(queue, { handle })];
      await context.eventually('every message arrived', () => {
        return receivers.reduce((sum, receiver) => sum + receiver.deliveries.length, 0) >= sent.length;
      });
      for (const receiver of receivers) await receiver.take(receiver.deliveries.length);
    },
  },
]);
