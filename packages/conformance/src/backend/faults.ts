import assert from 'node:assert/strict';
import { behaviours, pause } from '../behaviour.ts';
import {
  type BackendBehaviour,
  type BackendContext,
  message,
  numbered,
  rejectsWithMelangeError,
  sortedIds,
} from './backend-context.ts';
import {
  acknowledge,
  arrivesAtLeastOnce,
  needsFaults,
  needsLastingDeliveries,
  needsLosableDeliveries,
} from './breaking.ts';
import { publishing } from './ten-thousand.ts';

/** Connections break; nothing is lost, nothing hangs, and work goes on by itself. */
export const faults: readonly BackendBehaviour[] = behaviours<BackendContext>('faults', [
  {
    id: 'lost-confirms',
    title:
      'cut before the confirms arrive: the publish resolves after the reconnect, nothing is lost, ids are kept',
    requires: needsFaults,
    async run(context) {
      const queue = await context.queue();
      const { backend, proxy } = await context.throughProxy();
      await backend.publishToQueue(queue, [message('connects')]);
      proxy.stall('to-client');
      const before = proxy.bytesToTarget;
      const sent = numbered(100);
      const published = Promise.all(sent.map((one) => backend.publishToQueue(queue, [one], publishing)));
      published.catch(() => {});
      await context.eventually('the broker was sent something', () => proxy.bytesToTarget > before);
      proxy.cut();
      proxy.resume();
      await context.soon(published, 'publishing across the cut');
      await arrivesAtLeastOnce(
        await context.receive(queue, { handle: acknowledge }),
        sent.map(({ id }) => id),
      );
    },
  },
  {
    id: 'torn-frames',
    title: 'a connection that is reset in the middle of a frame loses nothing',
    requires: needsFaults,
    async run(context) {
      const queue = await context.queue();
      const { backend, proxy } = await context.throughProxy();
      await backend.publishToQueue(queue, [message('connects')]);
      const all: string[] = [];
      for (const bytes of [1, 7, 100, 1_000, 20_000]) {
        const sent = numbered(30).map((one) => ({ ...one, content: 'x'.repeat(2_000) }));
        proxy.resetAfter(bytes);
        const published = Promise.all(sent.map((one) => backend.publishToQueue(queue, [one], publishing)));
        await context.soon(published, `publishing with a reset after ${bytes} bytes`);
        all.push(...sent.map(({ id }) => id));
      }
      await arrivesAtLeastOnce(await context.receive(queue, { handle: acknowledge }), all);
    },
  },
  {
    id: 'cut-while-consuming',
    title:
      'cut with deliveries unsettled: they come again as the same attempt, redelivered; the old ones settle to no effect',
    requires: (context) => needsFaults(context) ?? needsLosableDeliveries(context),
    async run(context) {
      const queue = await context.queue();
      const { backend, proxy } = await context.throughProxy();
      const receiver = await context.receive(queue, { maxInFlight: 5 }, backend);
      const sent = numbered(5);
      await context.backend.publishToQueue(queue, sent);
      const lost = await receiver.take(5);
      const signals = lost.map((delivery) => delivery.signal);
      proxy.cut();
      const again = await receiver.take(5);
      assert.deepEqual(again.map((one) => one.message.id).sort(), sortedIds(sent));
      for (const { attempt, redeliveries = 0 } of again) {
        assert.equal(attempt, 1, 'no run failed');
        if (context.capabilities.tellsRedeliveries) assert.ok(redeliveries >= 1, 'it was handed out before');
      }
      assert.ok(
        signals.every((signal) => signal.aborted),
        'the lost deliveries are aborted',
      );
      await Promise.all(lost.map((delivery) => delivery.acknowledge()));
      await receiver.staysQuiet(context.quietMs, 'the new deliveries are unsettled');
      await Promise.all(again.map((delivery) => delivery.acknowledge()));
      await context.backend.publishToQueue(queue, numbered(1));
      await (await receiver.next()).acknowledge();
      await context.isEmpty(queue);
    },
  },
  {
    id: 'deliveries-outlive-a-cut',
    title: 'cut with deliveries unsettled: they stay ours, come to nobody else, and are settled afterwards',
    requires: (context) => needsFaults(context) ?? needsLastingDeliveries(context),
    async run(context) {
      const queue = await context.queue();
      const { backend, proxy } = await context.throughProxy();
      const receiver = await context.receive(queue, { maxInFlight: 5 }, backend);
      await context.backend.publishToQueue(queue, numbered(5));
      const held = await receiver.take(5);
      const signals = held.map((delivery) => delivery.signal);
      proxy.cut();
      const other = await context.receive(queue);
      await other.staysQuiet(context.quietMs, 'the deliveries are held');
      assert.ok(
        signals.every((signal) => !signal.aborted),
        'the deliveries are still ours',
      );
      await context.soon(Promise.all(held.map((delivery) => delivery.acknowledge())), 'acknowledging');
      await other.subscription.close();
      await receiver.subscription.close();
      await context.isEmpty(queue);
    },
  },
  {
    id: 'acknowledging-outlives-a-cut',
    title: 'an acknowledgement cut on its way is sent again: it resolves, and the message is gone',
    requires: (context) => needsFaults(context) ?? needsLastingDeliveries(context),
    async run(context) {
      const queue = await context.queue();
      const { backend, proxy } = await context.throughProxy();
      await context.backend.publishToQueue(queue, numbered(1));
      const receiver = await context.receive(queue, {}, backend);
      const delivery = await receiver.next();
      proxy.stall('to-target');
      const acknowledged = delivery.acknowledge();
      proxy.cut();
      proxy.resume();
      await context.soon(acknowledged, 'acknowledging');
      await receiver.subscription.close();
      await context.isEmpty(queue);
    },
  },
  {
    id: 'acknowledging-waits',
    title: 'the promise of acknowledge() resolves when the broker has answered, not before',
    requires: (context) => needsFaults(context) ?? needsLastingDeliveries(context),
    async run(context) {
      const queue = await context.queue();
      const { backend, proxy } = await context.throughProxy();
      await context.backend.publishToQueue(queue, numbered(1));
      const receiver = await context.receive(queue, {}, backend);
      const delivery = await receiver.next();
      proxy.stall('to-client');
      let isAcknowledged = false;
      const answer = delivery.acknowledge();
      const acknowledged = Promise.resolve(answer).then(() => {
        isAcknowledged = true;
      });
      await pause(context.quietMs);
      // No promise promises nothing: the acknowledgement goes to the broker with later ones.
      if (answer === undefined) isAcknowledged = false;
      assert.equal(isAcknowledged, false, 'acknowledge() resolved although no answer of the broker arrived');
      proxy.resume();
      await context.soon(acknowledged, 'acknowledging');
      await receiver.subscription.close();
      await context.isEmpty(queue);
    },
  },
  {
    id: 'cut-while-acknowledging',
    title: 'an acknowledgement cut on its way does not throw, and the message comes again',
    requires: (context) => needsFaults(context) ?? needsLosableDeliveries(context),
    async run(context) {
      const queue = await context.queue();
      const { backend, proxy } = await context.throughProxy();
      await context.backend.publishToQueue(queue, numbered(1));
      const receiver = await context.receive(queue, {}, backend);
      const delivery = await receiver.next();
      proxy.stall('to-target');
      const acknowledged = delivery.acknowledge();
      proxy.cut();
      proxy.resume();
      await context.soon(acknowledged, 'acknowledging');
      const again = await receiver.next();
      assert.equal(again.message.id, delivery.message.id);
      await again.acknowledge();
      await context.isEmpty(queue);
    },
  },
  {
    id: 'cut-while-retrying',
    title: 'a retry or a dead-lettering cut before its confirm leaves the message somewhere',
    requires: needsFaults,
    async run(context) {
      const deadLetterQueue = context.queueName();
      const queue = await context.queue({ deadLetterQueue });
      const { backend, proxy } = await context.throughProxy();
      const sent = numbered(2);
      await context.backend.publishToQueue(queue, sent);
      const receiver = await context.receive(queue, {}, backend);
      const [retried, rejected] = await receiver.take(2);
      proxy.stall('to-client');
      const settled = Promise.allSettled([
        retried?.retry({ delayMs: 50 }),
        rejected?.deadLetter({ reason: 'test' }),
      ]);
      // The copies are on their way; how soon a backend sends them is its own affair, so both orders are fine.
      await pause(50);
      proxy.cut();
      proxy.resume();
      await context.soon(settled, 'settling across the cut');
      const dead = await context.receive(deadLetterQueue);
      await context.eventually('both messages are somewhere', () => {
        const left = [...receiver.ids.slice(2), ...dead.ids];
        return sent.every(({ id }) => left.includes(id));
      });
    },
  },
  {
    id: 'stall',
    title: 'a stalled connection: a publish rejects by its deadline and names its messages, then works again',
    requires: needsFaults,
    async run(context) {
      const queue = await context.queue();
      const { backend, proxy } = await context.throughProxy();
      await backend.publishToQueue(queue, [message('connects')]);
      proxy.stall();
      const from = performance.now();
      const sent = message('stalled');
      const error = await context.soon(
        rejectsWithMelangeError(backend.publishToQueue(queue, [sent], { deadlineMs: 700 })),
        'the stalled publish',
      );
      assert.ok(performance.now() - from < 5_000, 'the deadline was 700 ms');
      assert.equal(error.code, 'PUBLISH_FAILED');
      assert.deepEqual(
        (error as unknown as { failures: { messageId: string }[] }).failures.map((one) => one.messageId),
        [sent.id],
      );
      await context.soon(backend.health(), 'health of a stalled backend');
      proxy.resume();
      const after = message('after');
      await context.soon(backend.publishToQueue(queue, [after], publishing), 'publishing after the stall');
      await arrivesAtLeastOnce(await context.receive(queue, { handle: acknowledge }), [after.id]);
    },
  },
]);
