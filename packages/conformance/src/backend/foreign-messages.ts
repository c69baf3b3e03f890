import assert from 'node:assert/strict';
import { DeadLetterHeader, type Message, SerializerRegistry, silentLogger } from '@melange/core';
import { behaviours } from '../behaviour.ts';
import { type BackendBehaviour, type BackendContext, message } from './backend-context.ts';
import { ascending, consumer, range, running } from './dispatcher-running.ts';
import { Numbered, testBinarySerializer, testSerializer } from './test-serializer.ts';

/** What another client leaves out. */
const bare = {
  manifest: undefined,
  serializerId: undefined,
  publishedAt: undefined,
} satisfies Partial<Message>;

/** Python's pickle of a class instance, in the base64 that the Python library sends. */
const pickled = 'gASVMQAAAAAAAACMCF9fbWFpbl9flIwHUGF5bWVudJSTlCmBlH2UjAlyZWZlcmVuY2WUjANwLTGU\nc2Iu\n';

/** Messages that Melange did not make, or that another service made otherwise: none stops the loop. */
export const foreignMessages: readonly BackendBehaviour[] = behaviours<BackendContext>('foreign messages', [
  {
    id: 'two-serializers',
    title: 'one queue carries JSON and protobuf, each read by its own serializer, bytes unchanged',
    async run(context) {
      const queue = await context.queue({ deadLetterQueue: context.queueName() });
      const serializers = new SerializerRegistry({
        serializers: { json: testSerializer, protobuf: testBinarySerializer },
        bindings: [[Numbered, 'protobuf']],
        default: 'json',
      });
      const sent: Message[] = [];
      for (const number of range(20)) {
        const serialized = await serializers.serialize(number % 2 === 0 ? number : new Numbered(number));
        sent.push({ ...message(serialized.content), ...serialized });
      }
      await context.backend.publishToQueue(queue, sent);
      const seen: unknown[] = [];
      const one = consumer('one', (value) => void seen.push(value));
      await running(context, queue, { serializers }, [one], () =>
        context.eventually('every message was processed', () => seen.length >= sent.length),
      );
      const numbers = seen.map((value) => (value instanceof Numbered ? value.number : value));
      assert.deepEqual(numbers.toSorted(ascending), range(20));
      assert.equal(seen.filter((value) => value instanceof Numbered).length, 10);
      await context.isEmpty(queue);
    },
  },
  {
    id: 'no-headers',
    title: 'a message without manifest and serializer is read by the default serializer',
    async run(context) {
      const seen = await readOf(context, [
        message('{"from":"elsewhere"}', bare),
        message('"žluťoučký"', bare),
      ]);
      assert.deepEqual(seen.processed.map(String).sort(), ['[object Object]', 'žluťoučký']);
      assert.deepEqual(seen.deadLetters, []);
    },
  },
  {
    id: 'not-json',
    title: 'one that the default serializer cannot read is dead-lettered as it came',
    async run(context) {
      const texts = ['hello', '{"open":', '\ufeff', 'a\nb\t"c"', '<xml/>'];
      const { deadLetters, processed } = await readOf(
        context,
        texts.map((text) => message(text, bare)),
      );
      assert.deepEqual(processed, []);
      assert.deepEqual(deadLetters.map(({ content }) => content).sort(), texts.toSorted());
      for (const { headers } of deadLetters) {
        assert.equal(headers[DeadLetterHeader.reason], 'undecodable');
        assert.equal(headers[DeadLetterHeader.errorName], 'SerializationError');
      }
    },
  },
  {
    id: 'empty-body',
    title: 'one with an empty body is dead-lettered with its empty body, text or bytes',
    async run(context) {
      const { deadLetters } = await readOf(context, [message('', bare), message(new Uint8Array(), bare)]);
      assert.deepEqual(
        deadLetters.map(({ content }) => content?.length),
        [0, 0],
      );
    },
  },
  {
    id: 'huge-body',
    title: 'one with a huge body is processed, or dead-lettered with the whole of it',
    async run(context) {
      const { maxMessageBytes = 6_000_000 } = context.capabilities;
      const text = 'x'.repeat(Math.floor(Math.min(maxMessageBytes, 6_000_000) * 0.9));
      const { processed, deadLetters } = await readOf(context, [
        message(JSON.stringify(text), bare),
        message(text, bare),
      ]);
      assert.ok(processed[0] === text, 'the value of the processed one');
      assert.ok(deadLetters[0]?.content === text, 'the content of the dead-lettered one');
    },
  },
  {
    id: 'odd-headers',
    title: 'odd headers, long ones included, reach the consumer and the dead-letter queue',
    async run(context) {
      const headers = {
        'X-Trace Id': 'a, b;c="d"',
        žluťoučký: '🐎',
        constructor: 'c',
        toString: 't',
        empty: '',
        'x.y/z': 'null',
        // Of a version that is still to come.
        melange_of_tomorrow: '1',
        // What a broker's client takes at most is for the tests of its adapter.
        long: 'x'.repeat(60_000),
      };
      const deadLetterQueue = context.queueName();
      const queue = await context.queue({ deadLetterQueue });
      await context.backend.publishToQueue(queue, [
        message('"good"', { ...bare, headers }),
        message('bad', { ...bare, headers }),
      ]);
      const seen: unknown[] = [];
      const one = {
        ...consumer('one', () => undefined),
        process: (_: unknown, given: { headers: Message['headers'] }) => void seen.push({ ...given.headers }),
      };
      await running(context, queue, {}, [one], async () => {
        const copy = (await (await context.receive(deadLetterQueue)).next()).message;
        for (const [name, value] of Object.entries(headers)) assert.equal(copy.headers[name], value, name);
        await context.eventually('the good one was processed', () => seen.length > 0);
      });
      assert.deepEqual(seen, [headers]);
    },
  },
  {
    id: 'pickle',
    title: "a message serialized with Python's pickle is never decoded, and dead-lettered raw, saying why",
    async run(context) {
      const pickle = message(pickled, { manifest: 'Payment', serializerId: 2 });
      const { processed, deadLetters } = await readOf(context, [pickle]);
      assert.deepEqual(processed, []);
      const [copy] = deadLetters;
      assert.equal(copy?.content, pickled);
      assert.deepEqual([copy?.manifest, copy?.serializerId], ['Payment', 2]);
      assert.match(copy?.headers[DeadLetterHeader.errorMessage] ?? '', /pickle/);
    },
  },
  {
    id: 'unknown-serializer',
    title: 'a message of a serializer that is not registered is dead-lettered raw, saying which',
    async run(context) {
      const bytes = Uint8Array.of(0x80, 4, 0xff, 0);
      const { deadLetters } = await readOf(context, [message(bytes, { serializerId: 4_711 })]);
      assert.deepEqual(
        deadLetters.map(({ content }) => [...(content as Uint8Array)]),
        [[...bytes]],
      );
      assert.match(deadLetters[0]?.headers[DeadLetterHeader.errorMessage] ?? '', /4711/);
    },
  },
  {
    id: 'without-a-dead-letter-queue',
    title:
      'without a dead-letter queue what cannot be read is reported and acknowledged, and the loop goes on',
    async run(context) {
      const queue = await context.queue();
      const errors: unknown[] = [];
      const seen: unknown[] = [];
      await context.backend.publishToQueue(queue, [
        message('hello', bare),
        message(pickled, { serializerId: 2 }),
        message('"next"'),
      ]);
      const logger = { ...silentLogger, error: (...line: unknown[]) => void errors.push(line) };
      await running(context, queue, { logger }, [consumer('one', (value) => void seen.push(value))], () =>
        context.eventually('all were handled', () => seen.length === 1 && errors.length >= 2),
      );
      assert.deepEqual(seen, ['next']);
      await context.isEmpty(queue);
    },
  },
  {
    id: 'many',
    title: 'fifty that cannot be read among fifty that can: each goes where it belongs',
    async run(context) {
      const sent = range(100).map((number) =>
        message(number % 2 === 0 ? String(number) : `x${number}`, bare),
      );
      const { processed, deadLetters } = await readOf(context, sent);
      assert.deepEqual(
        processed.toSorted(ascending),
        range(100).filter((number) => number % 2 === 0),
      );
      const numbers = deadLetters.map(({ content }) => Number(String(content).slice(1)));
      assert.deepEqual(
        numbers.toSorted(ascending),
        range(100).filter((number) => number % 2 === 1),
      );
    },
  },
]);

/** Consumes until each of the messages was processed or dead-lettered. */
async function readOf(
  context: BackendContext,
  messages: readonly Message[],
): Promise<{ readonly processed: readonly unknown[]; readonly deadLetters: readonly Message[] }> {
  const deadLetterQueue = context.queueName();
  const queue = await context.queue({ deadLetterQueue });
  await context.backend.publishToQueue(queue, messages);
  const processed: unknown[] = [];
  const deadLetters: Message[] = [];
  await context.receive(deadLetterQueue, {
    handle: async (delivery) => {
      deadLetters.push(delivery.message);
      await delivery.acknowledge();
    },
  });
  const one = consumer('one', (value) => void processed.push(value));
  await running(context, queue, {}, [one], () =>
    context.eventually('each was processed or dead-lettered', () => {
      return processed.length + deadLetters.length >= messages.length;
    }),
  );
  await context.isEmpty(queue);
  assert.equal(processed.length + deadLetters.length, messages.length);
  return { processed, deadLetters };
}
