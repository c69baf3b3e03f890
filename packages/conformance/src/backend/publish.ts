import assert from 'node:assert/strict';
import { type Capabilities, MelangeError, type Message, type MessagingBackend } from '@melange/core';
import { behaviours } from '../behaviour.ts';
import {
  asPublished,
  type BackendBehaviour,
  type BackendContext,
  message,
  needsCapability,
  numbered,
  rejectsWith,
  rejectsWithMelangeError,
  sortedIds,
  waysToPublish,
} from './backend-context.ts';

const largeBytes = 256 * 1024;

/** What goes in comes out: content, envelope and headers, of one message and of many. */
export const publish: readonly BackendBehaviour[] = behaviours<BackendContext>('publish', [
  {
    id: 'envelope-round-trip',
    title: 'id, manifest, serializerId, key, publishedAt and headers arrive as published',
    async run(context) {
      const sent = message('{"total":1}', {
        manifest: 'shop.v1.OrderPlaced',
        serializerId: 3,
        key: 'customer-7',
        publishedAt: 1_700_000_000_123,
        headers: {
          correlationId: 'c-1',
          traceparent: '00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01',
        },
      });
      assert.deepEqual(await roundTrip(context, sent), sent);
    },
  },
  {
    id: 'undefined-fields',
    title: 'fields that a message lacks stay undefined',
    async run(context) {
      const sent = message('plain', {
        manifest: undefined,
        serializerId: undefined,
        key: undefined,
        publishedAt: undefined,
      });
      assert.deepEqual(await roundTrip(context, sent), sent);
    },
  },
  {
    id: 'empty-id',
    title: 'an empty id is no id: it is refused, or each such message arrives with an id of its own',
    async run(context) {
      const queue = await context.queue();
      const sent = numbered(2, { id: '' });
      const published = context.backend.publishToQueue(queue, sent);
      const isRefused = await published.then(
        () => false,
        (error: unknown) => MelangeError.is(error),
      );
      if (isRefused) return;
      await published;
      const [first, second] = (await (await context.receive(queue)).take(2)).map(({ message: { id } }) => id);
      assert.ok(first !== '' && second !== '', 'a message arrived with an empty id');
      assert.notEqual(first, second, 'two messages have one id');
    },
  },
  {
    id: 'unusual-headers',
    title: 'header values keep unicode, spaces and emptiness; names that objects have are ordinary',
    async run(context) {
      const headers = {
        empty: '',
        spaced: '  two  ',
        unicode: 'žluťoučký 🐎',
        number: '007',
        constructor: 'x',
      };
      const received = await roundTrip(context, message('content', { headers }));
      assert.deepEqual({ ...received.headers }, headers);
    },
  },
  {
    id: 'text-content',
    title: 'text content arrives as the same text, also empty, unicode, and what looks like JSON or base64',
    async run(context) {
      const texts = [
        '',
        ' ',
        'plain',
        '{"Message":"x"}',
        'aGVsbG8=',
        'žluťoučký kůň 🐎\u2028\n\t"\\',
        'null',
        '\uFEFFbom',
      ];
      await contentsRoundTrip(context, texts);
    },
  },
  {
    id: 'binary-content',
    title: 'binary content arrives byte for byte as bytes, also empty and what is not UTF-8',
    async run(context) {
      const everyByte = Uint8Array.from({ length: 256 }, (_, index) => index);
      const window = everyByte.subarray(10, 20);
      await contentsRoundTrip(context, [
        new Uint8Array(),
        everyByte,
        window,
        Uint8Array.of(0xff, 0xfe, 0xc3, 0x28),
      ]);
    },
  },
  {
    id: 'large-content',
    title: 'content of 256 KiB arrives whole, as text and as bytes',
    requires: ({ capabilities: { maxMessageBytes } }) =>
      maxMessageBytes !== undefined && maxMessageBytes < largeBytes * 1.5
        ? `messages are limited to ${maxMessageBytes} bytes`
        : undefined,
    async run(context) {
      const bytes = Uint8Array.from({ length: largeBytes }, (_, index) => (index * 31) & 255);
      await contentsRoundTrip(context, ['a€'.repeat(largeBytes / 4), bytes]);
    },
  },
  {
    id: 'too-large',
    title: 'content over the declared limit is refused with a Melange error, and what follows is not held up',
    requires: ({ capabilities }) =>
      capabilities.maxMessageBytes === undefined ? 'there is no fixed limit of size' : undefined,
    async run(context) {
      const queue = await context.queue();
      const tooLarge = new Uint8Array((context.capabilities.maxMessageBytes ?? 0) + 1);
      await rejectsWithMelangeError(context.backend.publishToQueue(queue, [message(tooLarge)]));
      const small = message('small');
      await context.backend.publishToQueue(queue, [small]);
      const receiver = await context.receive(queue);
      assert.equal((await receiver.next()).message.id, small.id);
    },
  },
  {
    id: 'tombstone',
    title: 'a tombstone arrives with null content and its key',
    requires: needsCapability('tombstones', 'messages without content cannot be carried'),
    async run(context) {
      const received = await roundTrip(context, message(null, { key: 'gone' }));
      assert.equal(received.content, null);
      assert.equal(received.key, 'gone');
    },
  },
  {
    id: 'batch',
    title: 'every message of one publish arrives once',
    async run(context) {
      const queue = await context.queue();
      const sent = numbered(100);
      await context.backend.publishToQueue(queue, sent);
      await arriveOnce(context, queue, sent);
    },
  },
  {
    id: 'concurrent',
    title: 'concurrent publishes all arrive, each once',
    async run(context) {
      const queue = await context.queue();
      const calls = Array.from({ length: 50 }, () => numbered(4));
      await Promise.all(calls.map((messages) => context.backend.publishToQueue(queue, messages)));
      await arriveOnce(context, queue, calls.flat());
    },
  },
  {
    id: 'nothing',
    title: 'publishing no messages resolves',
    async run(context) {
      const queue = await context.queue();
      await context.soon(context.backend.publishToQueue(queue, []), 'publishing no messages');
      await context.isEmpty(queue);
    },
  },
  {
    id: 'missing-queue',
    title: 'publishing to a queue that does not exist rejects with QUEUE_NOT_FOUND',
    async run(context) {
      await rejectsWith('QUEUE_NOT_FOUND', context.backend.publishToQueue(context.queueName(), numbered(3)));
    },
  },
  {
    id: 'missing-queue-beside-others',
    title: 'a publish to a missing queue does not hurt concurrent publishes to others',
    async run(context) {
      const queue = await context.queue();
      const sent = numbered(20);
      const [missing, ...others] = await Promise.allSettled([
        context.backend.publishToQueue(context.queueName(), numbered(1)),
        ...sent.map((one) => context.backend.publishToQueue(queue, [one])),
      ]);
      assert.equal(missing.status, 'rejected');
      assert.ok(
        others.every((outcome) => outcome.status === 'fulfilled'),
        'the other publishes resolve',
      );
      await arriveOnce(context, queue, sent);
    },
  },
  {
    id: 'no-shared-references',
    title: 'what the publisher changes right after the call changes nothing on the way',
    async run(context) {
      const topic = await context.topic();
      const queue = await context.queue({ topics: [topic] });
      // One that has yet to connect, or to ask about the destination, keeps messages for longest.
      const backend = context.hasAnother ? await context.another() : context.backend;
      const ways = waysToPublish(backend, queue, topic);
      const publishing = ways.map((publish) => {
        const content = Uint8Array.of(1, 2, 3);
        const headers: Record<string, string> = { kept: 'original' };
        const messages = [message(content, { headers })];
        const published = publish(messages);
        content.fill(9);
        headers.kept = 'changed';
        messages.length = 0;
        return published;
      });
      await Promise.all(publishing);
      for (const { message: received } of await (await context.receive(queue)).take(ways.length)) {
        assert.deepEqual(bytesOf(received.content), [1, 2, 3]);
        assert.equal(received.headers.kept, 'original');
      }
    },
  },
  {
    id: 'delayed',
    title: 'a delayed message arrives after its delay, and others meanwhile',
    requires: needsCapability('delayedDelivery', 'a publish cannot be delayed'),
    async run(context) {
      const queue = await context.queue();
      const backend = context.backend as MessagingBackend<Capabilities & { delayedDelivery: true }>;
      const [late, timely] = [message('late'), message('timely')];
      const receiver = await context.receive(queue);
      const from = performance.now();
      // Long enough that the other one is there before, on a busy machine too.
      await backend.publishToQueue(queue, [late], { delayMs: 1_500 });
      await backend.publishToQueue(queue, [timely]);
      assert.equal((await receiver.next()).message.id, timely.id);
      assert.equal((await receiver.next()).message.id, late.id);
      const waited = performance.now() - from;
      assert.ok(waited >= 1_480, `the delay of 1,500 ms was ${Math.round(waited)} ms`);
    },
  },
]);

async function roundTrip(context: BackendContext, sent: Message): Promise<Message> {
  const queue = await context.queue();
  await context.backend.publishToQueue(queue, [sent]);
  const delivery = await (await context.receive(queue)).next();
  await delivery.acknowledge();
  return asPublished(delivery.message);
}

async function contentsRoundTrip(
  context: BackendContext,
  contents: readonly (string | Uint8Array)[],
): Promise<void> {
  const queue = await context.queue();
  const sent = contents.map((content) => ({ ...message(content), content }));
  await context.backend.publishToQueue(queue, sent);
  const deliveries = await (await context.receive(queue)).take(sent.length);
  for (const { id, content } of sent) {
    const received = deliveries.find((delivery) => delivery.message.id === id)?.message.content;
    assert.equal(typeof received, typeof content, `content of ${describe(content)} changed its type`);
    if (typeof content === 'string') assert.equal(received, content);
    else assert.ok(Buffer.from(content).equals(received as Uint8Array), `${describe(content)} changed`);
  }
}

async function arriveOnce(context: BackendContext, queue: string, sent: readonly Message[]): Promise<void> {
  const receiver = await context.receive(queue, { handle: (delivery) => delivery.acknowledge() });
  const deliveries = await receiver.take(sent.length);
  assert.deepEqual(sortedIds(deliveries.map((delivery) => delivery.message)), sortedIds(sent));
  await receiver.staysQuiet(context.quietMs, 'every message has arrived');
}

function describe(content: string | Uint8Array): string {
  return typeof content === 'string' ? `text of ${content.length} characters` : `${content.byteLength} bytes`;
}

function bytesOf(content: Message['content']): number[] {
  assert.ok(content instanceof Uint8Array, 'binary content arrives as bytes');
  return [...content];
}
