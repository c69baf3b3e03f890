import assert from 'node:assert/strict';
import { type BrowsableBackend, isBrowsable, type Message } from '@melange/core';
import { behaviours, pause } from '../behaviour.ts';
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

const needsBrowse = needsCapability('browse', 'the broker shows messages to nobody but their receivers');

/** Queues that can be looked into show what they hold, and lose, hold and count nothing by it. */
export const browse: readonly BackendBehaviour[] = behaviours<BackendContext>('browse', [
  {
    id: 'as-published',
    title: 'a browsed queue shows its messages as they were published, directly and through its topics',
    requires: needsBrowse,
    async run(context) {
      const topic = await context.topic();
      const queue = await context.queue({ topics: [topic] });
      const sent = [
        message('text', { key: 'a key', headers: { tenant: 'zürich', empty: '' } }),
        message(new Uint8Array([0, 255, 128, 10]), { manifest: undefined, serializerId: 3 }),
      ];
      const through = message('through the topic');
      await context.backend.publishToQueue(queue, sent);
      await context.backend.publishToTopic(topic, [through]);
      const seen = await allOf(context, queue);
      const byId = new Map(seen.map((one) => [one.id, asPublished(one)]));
      assert.equal(seen.length, 3);
      for (const one of [...sent, through]) assert.deepEqual(byId.get(one.id), asPublished(one));
    },
  },
  {
    id: 'pages',
    title:
      'the pages of a browsed queue hold each message once, in the order of a key, none more than the limit',
    requires: needsBrowse,
    async run(context) {
      const queue = await context.queue();
      const sent = numbered(25, { key: 'one' });
      await context.backend.publishToQueue(queue, sent);
      const pages = await pagesOf(context, queue, 10);
      for (const page of pages) assert.ok(page.length <= 10, `a page of 10 has ${page.length} messages`);
      assert.deepEqual(
        pages.flat().map(({ content }) => content),
        sent.map(({ content }) => content),
      );
    },
  },
  {
    id: 'empty',
    title: 'an empty queue is browsed to its end, and so is one whose messages were all acknowledged',
    requires: needsBrowse,
    async run(context) {
      const queue = await context.queue();
      assert.deepEqual(await allOf(context, queue), []);
      await context.backend.publishToQueue(queue, numbered(5));
      const receiver = await context.receive(queue, { handle: (delivery) => delivery.acknowledge() });
      await receiver.take(5);
      await receiver.subscription.close();
      await context.eventually(
        'nothing is left to browse',
        async () => (await allOf(context, queue)).length === 0,
      );
    },
  },
  {
    id: 'takes-nothing',
    title:
      'browsing takes nothing: each message is handed out afterwards, as first attempt, never handed out before',
    requires: needsBrowse,
    async run(context) {
      const queue = await context.queue();
      const sent = numbered(5);
      await context.backend.publishToQueue(queue, sent);
      for (let look = 0; look < 25; look += 1) await allOf(context, queue);
      await context.eventually('the depth is as before', async () =>
        context.capabilities.exactDepth ? (await context.backend.describeQueue(queue)).depth === 5 : true,
      );
      const receiver = await context.receive(queue, { handle: (delivery) => delivery.acknowledge() });
      for (const { attempt, redeliveries = 0 } of await receiver.take(5)) {
        assert.equal(attempt, 1);
        assert.equal(redeliveries, 0);
      }
      assert.deepEqual([...receiver.ids].sort(), sortedIds(sent));
      await receiver.subscription.close();
      await context.isEmpty(queue);
    },
  },
  {
    id: 'in-flight',
    title: 'messages in flight are browsed too, and are not handed out a second time by it',
    requires: needsBrowse,
    async run(context) {
      const queue = await context.queue();
      const sent = numbered(6);
      await context.backend.publishToQueue(queue, sent);
      const receiver = await context.receive(queue, { maxInFlight: 3 });
      const held = await receiver.take(3);
      assert.deepEqual(sortedIds(await allOf(context, queue)), sortedIds(sent));
      await pause(context.quietMs);
      assert.equal(receiver.ids.length, 3, 'browsing hands nothing over');
      for (const delivery of held) await delivery.acknowledge();
      for (const delivery of await receiver.take(3)) await delivery.acknowledge();
      assert.deepEqual([...receiver.ids].sort(), sortedIds(sent));
      await receiver.subscription.close();
      await context.isEmpty(queue);
    },
  },
  {
    id: 'own-copies',
    title: 'what is done to a browsed message changes nothing in the queue',
    requires: needsBrowse,
    async run(context) {
      const queue = await context.queue();
      await context.backend.publishToQueue(queue, [
        message(new Uint8Array([1]), { headers: { tenant: 'a' } }),
      ]);
      const [seen] = await allOf(context, queue);
      (seen?.content as Uint8Array)[0] = 2;
      (seen?.headers as Record<string, string>).tenant = 'b';
      const receiver = await context.receive(queue, { handle: (delivery) => delivery.acknowledge() });
      const { message: received } = await receiver.next();
      assert.deepEqual([received.content, received.headers.tenant], [new Uint8Array([1]), 'a']);
      await receiver.subscription.close();
    },
  },
  {
    id: 'while-consumed',
    title: 'messages that stay are each on one page, while others come and go between the pages',
    requires: needsBrowse,
    async run(context) {
      const queue = await context.queue();
      const staying = numbered(12);
      await context.backend.publishToQueue(queue, numbered(3));
      const receiver = await context.receive(queue, { maxInFlight: 3 });
      const going = await receiver.take(3);
      await context.backend.publishToQueue(queue, staying);
      const backend = browsable(context);
      const seen: Message[] = [];
      let after: string | undefined;
      do {
        const page = await backend.browseQueue(queue, { limit: 4, ...(after !== undefined && { after }) });
        seen.push(...page.messages);
        after = page.next;
        await context.backend.publishToQueue(queue, [message('late')]);
        // The room that is left by what goes is filled with others, which stay unsettled.
        await going.pop()?.acknowledge();
      } while (after !== undefined && seen.length < 100);
      for (const { id } of staying) assert.equal(seen.filter((one) => one.id === id).length, 1);
      await Promise.all(receiver.deliveries.slice(3).map((delivery) => delivery.release()));
    },
  },
  {
    id: 'refusals',
    title:
      'a queue that does not exist, a limit that is none, and a cursor of nobody are refused, each by its code',
    requires: needsBrowse,
    async run(context) {
      const backend = browsable(context);
      await rejectsWith('QUEUE_NOT_FOUND', backend.browseQueue(context.queueName()));
      const queue = await context.queue();
      await context.backend.publishToQueue(queue, numbered(2));
      for (const limit of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])
        await rejectsWith('CONFIGURATION', backend.browseQueue(queue, { limit }));
      for (const after of ['', 'nonsense', '{}', '-1'])
        await rejectsWith('CONFIGURATION', backend.browseQueue(queue, { after }));
    },
  },
]);

function browsable({ backend }: BackendContext): BrowsableBackend {
  assert.ok(isBrowsable(backend), 'the backend itself declares what the suite was told');
  return backend;
}

async function pagesOf(
  context: BackendContext,
  queue: string,
  limit: number,
): Promise<(readonly Message[])[]> {
  const backend = browsable(context);
  const pages: (readonly Message[])[] = [];
  let after: string | undefined;
  do {
    const page = await backend.browseQueue(queue, { limit, ...(after !== undefined && { after }) });
    pages.push(page.messages);
    after = page.next;
    assert.ok(pages.length < 1_000, 'a small queue has no thousand pages');
  } while (after !== undefined);
  return pages;
}

async function allOf(context: BackendContext, queue: string): Promise<Message[]> {
  return (await pagesOf(context, queue, 100)).flat();
}
