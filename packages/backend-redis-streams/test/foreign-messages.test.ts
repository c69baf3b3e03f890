import { randomUUID } from 'node:crypto';
import { DeadLetterHeader, silentLogger } from '@melange/core';
import { Redis } from 'ioredis';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import {
  type Consumed,
  consumed as consumedFrom,
  type ForeignScene,
  Order,
  orderContent,
} from '../../conformance/test/support/foreign-messages.ts';
import { RedisStreamsBackend } from '../src/index.ts';

const { REDIS_URL: url } = process.env;

interface Scene extends ForeignScene {
  /** As any client's `XADD` does. */
  readonly add: (...fields: readonly (string | Buffer)[]) => Promise<string>;
  readonly consume: (count: number) => Promise<Consumed>;
}

async function scene(): Promise<Scene> {
  const backend = new RedisStreamsBackend({ url: url as string, pollMs: 50, logger: silentLogger });
  const redis = new Redis(url as string);
  const [queue, dead] = [`foreign-${randomUUID()}`, `foreign-${randomUUID()}`];
  await backend.declareQueue(queue, { deadLetterQueue: dead });
  onTestFinished(async () => {
    await backend.deleteQueue(queue);
    await backend.deleteQueue(dead);
    await backend.close();
    redis.disconnect();
  });
  const add: Scene['add'] = async (...fields) =>
    String(await redis.xadd(`{melange}:stream:${queue}`, '*', ...fields));
  const here = { backend, queue, dead };
  const consume = (count: number) => consumedFrom(here, count, (body) => add('melange_content', body));
  return { ...here, add, consume };
}

describe.skipIf(url === undefined)('entries of other clients of Redis (skipped without REDIS_URL)', () => {
  test('without any field of Melange are read as JSON of their fields, under the id of the entry', async () => {
    const here = await scene();
    const id = await here.add('orderId', '4711', 'total', '12');
    const { processed } = await here.consume(1);
    expect(processed[0]?.value).toEqual({ orderId: '4711', total: '12' });
    expect(processed[0]?.context).toMatchObject({ messageId: id, manifest: undefined });
  });

  test('with nothing but content are read as JSON, and what is none is dead-lettered as it came', async () => {
    const here = await scene();
    const bytes = Buffer.of(0x80, 4, 0xff, 0);
    for (const content of ['{"total":1}', 'hello', '', bytes]) await here.add('melange_content', content);
    const { processed, deadLetters } = await here.consume(4);
    expect(processed.map(({ value }) => value)).toEqual([{ total: 1 }]);
    expect(deadLetters.map(({ content }) => content)).toEqual(['hello', '', Uint8Array.from(bytes)]);
    for (const { headers } of deadLetters) expect(headers[DeadLetterHeader.reason]).toBe('undecodable');
  });

  test('with the documented fields are read as what they say', async () => {
    const here = await scene();
    const fields = ['message_id', 'm-1', 'serializer_id', '3', 'manifest', Order.manifest, 'trace', 'a'];
    await here.add(...fields, 'melange_content_type', 'bytes', 'melange_content', Buffer.from(orderContent));
    const { processed } = await here.consume(1);
    expect(processed[0]?.value).toEqual(Object.assign(new Order(), { id: 'o-1' }));
    expect(processed[0]?.context).toMatchObject({ messageId: 'm-1', headers: { trace: 'a' } });
  });

  test('of a serializer or a manifest that nobody has are dead-lettered, one that is no number is as none', async () => {
    const here = await scene();
    await here.add('melange_content', '"x"', 'serializer_id', 'three');
    await here.add('melange_content', 'gASV', 'serializer_id', '2');
    await here.add('melange_content', '{}', 'serializer_id', '1', 'manifest', 'Nobody.knows');
    const { processed, deadLetters } = await here.consume(3);
    expect(processed.map(({ value }) => value)).toEqual(['x']);
    const errors = deadLetters.map(({ headers }) => headers[DeadLetterHeader.errorMessage]);
    expect(errors).toEqual([expect.stringContaining('pickle'), expect.stringContaining('Nobody.knows')]);
  });

  test('with the same field twice, binary ones and one of 64 kB are processed, retried and dead-lettered whole', async () => {
    const here = await scene();
    const long = 'h'.repeat(64 * 1024);
    const odd = ['twice', '1', 'twice', '2', 'binary', Buffer.of(0x61, 0xff), '__proto__', 'p', 'long', long];
    await here.add('melange_content', '"fine"', ...odd);
    await here.add('melange_content', '"fails"', ...odd);
    const { processed, deadLetters } = await here.consume(2);
    const expected = Object.entries({ twice: '2', binary: 'a\ufffd', ['__proto__']: 'p', long });
    for (const { context } of processed) expect(Object.entries(context.headers)).toEqual(expected);
    expect(processed.filter(({ value }) => value === 'fails')).toHaveLength(2);
    expect(Object.entries(deadLetters[0]?.headers ?? {})).toEqual(expect.arrayContaining(expected));
    expect(deadLetters[0]?.content).toBe('"fails"');
  });

  test('with thousands of fields are processed, retried and dead-lettered whole', async () => {
    const here = await scene();
    const many = Array.from({ length: 5_000 }, (_, n) => [`field-${n}`, `${n}`]);
    await here.add('melange_content', '"fine"', ...many.flat());
    const id = await here.add('melange_content', '"fails"', ...many.flat());
    const { processed, deadLetters } = await here.consume(2);
    const expected = Object.fromEntries(many);
    for (const { context } of processed) expect(context.headers).toEqual(expected);
    expect(processed.filter(({ value }) => value === 'fails')).toHaveLength(2);
    expect(deadLetters).toMatchObject([{ id, content: '"fails"', headers: expected }]);
  });

  test('with thousands of fields wait for their retry, and hold up nobody', async () => {
    const here = await scene();
    const many = Array.from({ length: 5_000 }, (_, n) => [`field-${n}`, `${n}`]);
    const id = await here.add(...many.flat());
    const came: (readonly [string, number, number])[] = [];
    await here.backend.subscribe(here.queue, { maxInFlight: 10 }, (delivery) => {
      const { message, attempt } = delivery;
      came.push([message.id, attempt, Object.keys(message.headers).length]);
      void (attempt < 3 ? delivery.retry({ delayMs: 20 }) : delivery.acknowledge());
    });
    await vi.waitFor(() => expect(came).toHaveLength(3), 20_000);
    expect(came).toEqual([1, 2, 3].map((attempt) => [id, attempt, 5_000]));
  });

  test('keep the id of their entry when they are retried, so that no consumer does again what it has done', async () => {
    const here = await scene();
    const id = await here.add('melange_content', '"fails"');
    const { processed, deadLetters } = await here.consume(1);
    expect(processed.map(({ context }) => context.messageId)).toEqual([id, id]);
    expect(deadLetters.map((one) => one.id)).toEqual([id]);
  });

  test('with a huge body are processed, or dead-lettered whole', async () => {
    const here = await scene();
    const huge = 'x'.repeat(5_000_000);
    // More than could be published here.
    const larger = 'x'.repeat(17_000_000);
    await here.add('melange_content', JSON.stringify(huge));
    await here.add('melange_content', larger);
    const { processed, deadLetters } = await here.consume(2);
    expect(processed[0]?.value === huge).toBe(true);
    expect(deadLetters[0]?.content === larger).toBe(true);
  });
});
