import assert from 'node:assert/strict';
import type { Message } from '@melange/core';
import { behaviours } from '../behaviour.ts';
import {
  asPublished,
  type BackendBehaviour,
  type BackendContext,
  message,
  needsAnother,
  numbered,
  sortedIds,
} from './backend-context.ts';

/** A retried message comes again: later, counted, whole, alone, and never lost in between. */
export const retry: readonly BackendBehaviour[] = behaviours<BackendContext>('retry', [
  {
    id: 'counts-attempts',
    title: 'each retry comes again with the next attempt, the same message',
    async run(context) {
      const queue = await context.queue();
      const sent = message(Uint8Array.of(0, 255), { key: 'k', headers: { kept: 'yes' } });
      await context.backend.publishToQueue(queue, [sent]);
      const receiver = await context.receive(queue);
      for (let attempt = 1; attempt <= 6; attempt += 1) {
        const delivery = await receiver.next();
        assert.equal(delivery.attempt, attempt);
        const { content, ...rest } = asPublished(delivery.message);
        const { content: sentContent, ...sentRest } = sent;
        assert.deepEqual(rest, sentRest);
        assert.deepEqual([...(content as Uint8Array)], [...(sentContent as Uint8Array)]);
        await (attempt < 6
          ? delivery.retry({ delayMs: attempt % 2 === 0 ? 0 : 20 })
          : delivery.acknowledge());
      }
      await receiver.staysQuiet(context.quietMs, 'the message was acknowledged');
    },
  },
  {
    id: 'counts-failed-runs-only',
    title: 'what was deferred, or did not run, comes again as the same attempt; only a failed run counts',
    async run(context) {
      const queue = await context.queue();
      const [sent] = numbered(1);
      await context.backend.publishToQueue(queue, [sent as Message]);
      const receiver = await context.receive(queue);
      const causes = [undefined, 'deferred', 'not-run', 'failed', 'not-run', 'deferred', 'failed'] as const;
      const seen: number[] = [];
      for (const [index, because] of causes.entries()) {
        const delivery = await receiver.next();
        seen.push(delivery.attempt);
        assert.deepEqual(asPublished(delivery.message), sent);
        const delayMs = index % 2 === 0 ? 0 : 20;
        await delivery.retry(because === undefined ? { delayMs } : { delayMs, because });
      }
      const last = await receiver.next();
      assert.deepEqual([...seen, last.attempt], [1, 2, 2, 2, 3, 3, 3, 4]);
      assert.equal(last.redeliveries ?? 0, 0, 'its runs ended: it was never handed out in vain');
      await last.acknowledge();
    },
  },
  {
    id: 'honours-delay',
    title: 'a retried message comes again after its delay, not before and not much later',
    async run(context) {
      const queue = await context.queue();
      await context.backend.publishToQueue(queue, numbered(1));
      const receiver = await context.receive(queue);
      const delivery = await receiver.next();
      const from = performance.now();
      await delivery.retry({ delayMs: 700 });
      await receiver.next();
      const waited = performance.now() - from;
      // Clocks of two machines differ by some ms; a second more than asked is a queue that was not looked at.
      assert.ok(waited >= 680 && waited < 3_000, `the delay of 700 ms was ${Math.round(waited)} ms`);
    },
  },
  {
    id: 'never-absent',
    title: 'a message waiting for its retry outlives the backend that retried it, and keeps its attempt',
    requires: needsAnother,
    async run(context) {
      const queue = await context.queue();
      await context.backend.publishToQueue(queue, numbered(5));
      const deliveries = await (await context.receive(queue)).take(5);
      await Promise.all(deliveries.map((delivery) => delivery.retry({ delayMs: 400 })));
      await context.backend.close();
      const again = await (await context.receive(queue, {}, await context.another())).take(5);
      assert.deepEqual(
        again.map((delivery) => delivery.message.id).sort(),
        deliveries.map((one) => one.message.id).sort(),
      );
      for (const { attempt } of again) wasCounted(context, attempt, 2);
    },
  },
  {
    id: 'attempts-across-redelivery',
    title: 'retries are still counted after a redelivery to another backend',
    requires: needsAnother,
    async run(context) {
      const queue = await context.queue();
      await context.backend.publishToQueue(queue, numbered(1));
      const receiver = await context.receive(queue);
      await (await receiver.next()).retry();
      assert.equal((await receiver.next()).attempt, 2);
      await context.backend.close();
      const second = await context.receive(queue, {}, await context.another());
      const redelivered = await second.next();
      wasCounted(context, redelivered.attempt, 2);
      await redelivered.retry();
      const last = await second.next();
      assert.equal(last.attempt, redelivered.attempt + 1);
    },
  },
  {
    id: 'does-not-block-others',
    title: 'a message waiting for its retry does not hold up the others',
    async run(context) {
      const queue = await context.queue();
      const sent = numbered(6);
      await context.backend.publishToQueue(queue, sent);
      const receiver = await context.receive(queue, { maxInFlight: 1 });
      const first = await receiver.next();
      // Long enough that a busy machine is through with the others before it ends.
      await first.retry({ delayMs: 2_000 });
      for (let count = 0; count < 5; count += 1) {
        const delivery = await receiver.next();
        assert.notEqual(delivery.message.id, first.message.id, 'the others come before the one that waits');
        await delivery.acknowledge();
      }
      const again = await receiver.next();
      assert.equal(again.message.id, first.message.id);
      assert.equal(again.attempt, 2);
    },
  },
  {
    id: 'delays-do-not-block-each-other',
    title: 'a short delay is not held up by a long one that began before it',
    async run(context) {
      const queue = await context.queue();
      await context.backend.publishToQueue(queue, numbered(2));
      const receiver = await context.receive(queue);
      const [long, short] = await receiver.take(2);
      await long?.retry({ delayMs: 1_500 });
      await short?.retry({ delayMs: 100 });
      assert.equal((await receiver.next()).message.id, short?.message.id);
      assert.equal((await receiver.next()).message.id, long?.message.id);
    },
  },
  {
    id: 'only-to-its-queue',
    title: 'the retry of a message from a topic comes to its own queue only, whatever its filter',
    async run(context) {
      const topic = await context.topic();
      const options = { topics: [topic], filter: ['ConformanceTest'] };
      const [mine, other] = [await context.queue(options), await context.queue(options)];
      await context.backend.publishToTopic(topic, numbered(1));
      const [first, second] = [await context.receive(mine), await context.receive(other)];
      await (await second.next()).acknowledge();
      await (await first.next()).retry({ delayMs: 50 });
      await (await first.next()).retry();
      assert.equal((await first.next()).attempt, 3);
      await second.staysQuiet(context.quietMs, 'the retry was not its own');
    },
  },
  {
    id: 'many',
    title: 'of a hundred messages, each retried twice, none is lost and none doubled',
    async run(context) {
      const queue = await context.queue();
      const sent = numbered(100);
      await context.backend.publishToQueue(queue, sent);
      const receiver = await context.receive(queue, {
        maxInFlight: 20,
        handle: (delivery) =>
          delivery.attempt < 3 ? delivery.retry({ delayMs: delivery.attempt * 30 }) : delivery.acknowledge(),
      });
      const deliveries = await receiver.take(300);
      for (const attempt of [1, 2, 3]) {
        const ofAttempt = deliveries.filter((delivery) => delivery.attempt === attempt);
        assert.deepEqual(sortedIds(ofAttempt.map((delivery) => delivery.message)), sortedIds(sent));
      }
      await receiver.staysQuiet(context.quietMs, 'every message was acknowledged');
    },
  },
]);

/** What was only handed out counts as well where the broker cannot tell it from a failure. */
function wasCounted({ capabilities }: BackendContext, attempt: number, expected: number): void {
  if (capabilities.releaseKeepsAttempt) assert.equal(attempt, expected);
  else assert.ok(attempt >= expected, `attempt is ${attempt}`);
}
