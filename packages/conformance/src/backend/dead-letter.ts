import assert from 'node:assert/strict';
import { DeadLetterHeader, type Delivery, MelangeError, type Message } from '@melange/core';
import { behaviours } from '../behaviour.ts';
import {
  asPublished,
  type BackendBehaviour,
  type BackendContext,
  message,
  numbered,
  rejectsWith,
  rejectsWithMelangeError,
  sortedIds,
} from './backend-context.ts';

/** What cannot be processed is safely somewhere else before it leaves its queue. */
export const deadLetter: readonly BackendBehaviour[] = behaviours<BackendContext>('dead letter', [
  {
    id: 'original-and-circumstances',
    title: 'the copy has the original content, envelope and headers, and melange_* headers that say why',
    async run(context) {
      const { queue, deadLetterQueue } = await queueWithDeadLetters(context);
      const sent = message('{"a":"ž"}', {
        manifest: 'Order',
        serializerId: 3,
        key: 'k',
        headers: { user: 'kept' },
      });
      await context.backend.publishToQueue(queue, [sent]);
      const delivery = await (await context.receive(queue)).next();
      await delivery.deadLetter({
        reason: 'rejected',
        error: new RangeError('too far: ž'),
        consumer: 'orders',
      });
      const { message: copy, attempt } = await (await context.receive(deadLetterQueue)).next();
      assert.equal(attempt, 1, 'the dead-letter queue counts from the beginning');
      const { headers, ...envelope } = asPublished(copy);
      const { headers: _, ...sentEnvelope } = sent;
      assert.deepEqual(envelope, sentEnvelope);
      const { [DeadLetterHeader.deadLetteredAt]: at, ...rest } = headers;
      assert.deepEqual(rest, {
        user: 'kept',
        [DeadLetterHeader.reason]: 'rejected',
        [DeadLetterHeader.errorName]: 'RangeError',
        [DeadLetterHeader.errorMessage]: 'too far: ž',
        [DeadLetterHeader.attempts]: '1',
        [DeadLetterHeader.sourceQueue]: queue,
        [DeadLetterHeader.consumer]: 'orders',
      });
      assert.ok(Math.abs(Date.parse(at ?? '') - Date.now()) < 3_600_000, `${at} is the time of it`);
    },
  },
  {
    id: 'leaves-its-queue',
    title: 'a dead-lettered message is gone from its queue',
    async run(context) {
      const { queue, deadLetterQueue } = await queueWithDeadLetters(context);
      await context.backend.publishToQueue(queue, numbered(1));
      const receiver = await context.receive(queue);
      await (await receiver.next()).deadLetter({ reason: 'test' });
      await receiver.subscription.close();
      await context.isEmpty(queue);
      assert.equal((await context.backend.describeQueue(deadLetterQueue)).exists, true);
    },
  },
  {
    id: 'binary-content',
    title: 'binary content is dead-lettered byte for byte, headers without an error have none',
    async run(context) {
      const { queue, deadLetterQueue } = await queueWithDeadLetters(context);
      await context.backend.publishToQueue(queue, [message(Uint8Array.of(0xff, 0, 0xc3))]);
      await (await (await context.receive(queue)).next()).deadLetter({ reason: 'undecodable' });
      const { message: copy } = await (await context.receive(deadLetterQueue)).next();
      assert.deepEqual([...(copy.content as Uint8Array)], [0xff, 0, 0xc3]);
      assert.equal(copy.headers[DeadLetterHeader.errorName], undefined);
      assert.equal(copy.headers[DeadLetterHeader.reason], 'undecodable');
    },
  },
  {
    id: 'counts-attempts',
    title: 'the copy tells how many attempts there were, or as many as the caller counted',
    async run(context) {
      const { queue, deadLetterQueue } = await queueWithDeadLetters(context);
      await context.backend.publishToQueue(queue, numbered(2));
      const receiver = await context.receive(queue);
      const [first, second] = await receiver.take(2);
      await second?.deadLetter({ reason: 'test', attempts: 7 });
      await first?.retry();
      await (await receiver.next()).deadLetter({ reason: 'test' });
      const copies = await (await context.receive(deadLetterQueue)).take(2);
      const attempts = copies.map((copy) => copy.message.headers[DeadLetterHeader.attempts]);
      assert.deepEqual(attempts.sort(), ['2', '7']);
    },
  },
  {
    id: 'without-a-queue',
    title: 'without a dead-letter queue it rejects with CONFIGURATION and leaves the delivery unsettled',
    async run(context) {
      const queue = await context.queue();
      await context.backend.publishToQueue(queue, numbered(1));
      const receiver = await context.receive(queue);
      const delivery = await receiver.next();
      await rejectsWith('CONFIGURATION', delivery.deadLetter({ reason: 'test' }));
      await delivery.retry();
      const again = await receiver.next();
      assert.equal(again.attempt, 2);
      await again.acknowledge();
    },
  },
  {
    id: 'queue-is-gone',
    title:
      'where the dead-letter queue is gone it rejects, and the message comes again, to whoever subscribes',
    async run(context) {
      const { queue, deadLetterQueue } = await queueWithDeadLetters(context);
      const [sent] = numbered(1) as [Message];
      await context.backend.publishToQueue(queue, [sent]);
      const receiver = await context.receive(queue);
      const first = await receiver.next();
      await context.backend.deleteQueue(deadLetterQueue);
      await failToDeadLetter(first);
      // Later than the close: a copy may be received before the retry of the original has resolved.
      await failToDeadLetter(await receiver.next(), 500);
      await context.soon(receiver.subscription.close(), 'closing the subscription');
      const again = await (await context.receive(queue)).next();
      assert.equal(again.message.id, sent.id);
      await again.acknowledge();
    },
  },
  {
    id: 'from-a-topic',
    title: 'a dead-lettered message of a topic does not reach the other queues of the topic',
    async run(context) {
      const topic = await context.topic();
      const deadLetterQueue = context.queueName();
      const queue = await context.queue({ topics: [topic], deadLetterQueue });
      const other = await context.queue({ topics: [topic] });
      await context.backend.publishToTopic(topic, numbered(1));
      const bystander = await context.receive(other);
      await (await bystander.next()).acknowledge();
      await (await (await context.receive(queue)).next()).deadLetter({ reason: 'test' });
      await (await (await context.receive(deadLetterQueue)).next()).acknowledge();
      await bystander.staysQuiet(context.quietMs, 'the dead letter is not its own');
    },
  },
  {
    id: 'again',
    title: 'a message dead-lettered out of a dead-letter queue carries the latest circumstances',
    async run(context) {
      const last = context.queueName();
      const middle = await context.queue({ deadLetterQueue: last });
      const queue = await context.queue({ deadLetterQueue: middle });
      await context.backend.publishToQueue(queue, [message('content', { headers: { user: 'kept' } })]);
      await (await (await context.receive(queue)).next()).deadLetter({
        reason: 'first',
        error: new Error('one'),
      });
      await (await (await context.receive(middle)).next()).deadLetter({ reason: 'second' });
      const { headers } = (await (await context.receive(last)).next()).message;
      assert.equal(headers.user, 'kept');
      assert.equal(headers[DeadLetterHeader.reason], 'second');
      assert.equal(headers[DeadLetterHeader.sourceQueue], middle);
      assert.equal(headers[DeadLetterHeader.errorName], undefined);
    },
  },
  {
    id: 'many',
    title: 'a hundred dead-lettered at once all arrive there, each once',
    async run(context) {
      const { queue, deadLetterQueue } = await queueWithDeadLetters(context);
      const sent = numbered(100);
      await context.backend.publishToQueue(queue, sent);
      await context.receive(queue, { maxInFlight: 50, handle: (one) => one.deadLetter({ reason: 'test' }) });
      const receiver = await context.receive(deadLetterQueue, { handle: (copy) => copy.acknowledge() });
      const copies = await receiver.take(100);
      assert.deepEqual(sortedIds(copies.map((copy) => copy.message)), sortedIds(sent));
      await receiver.staysQuiet(context.quietMs, 'every dead letter has arrived');
    },
  },
]);

async function failToDeadLetter(delivery: Delivery, delayMs = 0): Promise<void> {
  await rejectsWithMelangeError(delivery.deadLetter({ reason: 'test' }));
  // As the dispatcher does: it may be unsettled still, or have gone back.
  await delivery.retry({ delayMs }).catch((error: unknown) => {
    assert.ok(MelangeError.is(error, 'DELIVERY_SETTLED'), `the settlement failed: ${String(error)}`);
  });
}

async function queueWithDeadLetters(
  context: BackendContext,
): Promise<{ readonly queue: string; readonly deadLetterQueue: string }> {
  const deadLetterQueue = context.queueName();
  return { queue: await context.queue({ deadLetterQueue }), deadLetterQueue };
}
