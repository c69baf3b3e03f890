import type { Logger } from '@melange/core';
import { silentLogger } from '@melange/core';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { canStartHere } from '../../../apps/brokers/src/index.ts';
import { RedisStreamsBackend } from '../src/index.ts';
import { message, open, received, redis } from './support/streams.ts';

function warnings(): { readonly told: unknown[]; readonly logger: Logger } {
  const told: unknown[] = [];
  return { told, logger: { ...silentLogger, warn: (...line) => void told.push(line) } };
}

describe.skipIf(!canStartHere('redis'))('declaring (skipped where no Redis can be started)', () => {
  it('adds topics and widens filters, and says what it keeps although it is not named', async () => {
    const { server } = await redis();
    const { told, logger } = warnings();
    const [backend, other] = [open(server.port, { logger }), open(server.port)];
    await backend.declareQueue('orders', { topics: ['a'], filter: ['A', 'B'], deadLetterQueue: 'dead' });
    await backend.declareQueue('orders', { topics: ['a', 'b'], filter: ['B', 'A'], deadLetterQueue: 'dead' });
    expect(told).toEqual([]);
    await backend.declareQueue('orders', { topics: ['b'], filter: ['B', 'C'], deadLetterQueue: 'dead' });
    const facts = { queue: 'orders', topics: ['a'], manifests: ['A'] };
    const options = { toRemoveTopics: 'removeTopics', toRemoveManifests: 'replaceFilter' };
    expect(told).toEqual([[expect.any(String), { ...facts, ...options }]]);
    // By another process.
    expect(await other.describeQueue('orders')).toEqual({
      exists: true,
      depth: 0,
      deadLetterQueue: 'dead',
      inFlight: 0,
      topics: ['a', 'b'],
      filter: ['A', 'B', 'C'],
    });
  });

  it('widens the filter of each topic', async () => {
    const { server } = await redis();
    const backend = open(server.port);
    await backend.declareQueue('orders', { topics: ['a'], filter: ['A'] });
    await backend.declareQueue('orders', { topics: ['a'], filter: ['B'] });
    for (const manifest of ['A', 'B', 'C'])
      await backend.publishToTopic('a', [{ ...message(manifest), manifest }]);
    const came = await received(backend, 'orders', 2);
    expect(came.map((one) => one.message.content)).toEqual(['A', 'B']);
    expect(await backend.describeQueue('orders')).toMatchObject({ depth: 0 });
  });

  it('is undone by deleting: a topic of whatever name adds nothing to a queue that is gone', async () => {
    const { server, admin } = await redis();
    const backend = open(server.port);
    const topic = 'shop: orders.v1-{a}';
    await backend.declareQueue('orders', { topics: [topic] });
    expect(await backend.describeQueue('orders')).toMatchObject({ topics: [topic] });
    await backend.deleteQueue('orders');
    await backend.publishToTopic(topic, [message('1')]);
    expect(await admin.exists('{melange}:stream:orders')).toBe(0);
  });

  it('without a filter takes all, and a filter after that is kept wide until it is to replace it', async () => {
    const { server } = await redis();
    const { told, logger } = warnings();
    const backend = open(server.port, { logger });
    const filterNow = async () => (await backend.describeQueue('orders')).filter;
    await backend.declareQueue('orders', { topics: ['a'], filter: ['A'] });
    expect(await filterNow()).toEqual(['A']);
    await backend.declareQueue('orders', { topics: ['a'] });
    expect(await filterNow()).toBeUndefined();
    expect(told).toEqual([]);
    await backend.declareQueue('orders', { topics: ['a'], filter: ['A'] });
    expect(await filterNow()).toBeUndefined();
    expect(told).toEqual([[expect.any(String), expect.objectContaining({ manifests: 'all' })]]);
    await backend.declareQueue('orders', { topics: ['a'], filter: ['B'], replaceFilter: true });
    expect(await filterNow()).toEqual(['B']);
    await backend.publishToTopic('a', [{ ...message('no'), manifest: 'A' }]);
    await backend.publishToTopic('a', [{ ...message('yes'), manifest: 'B' }]);
    const came = await received(backend, 'orders', 1);
    expect(came.map((one) => one.message.content)).toEqual(['yes']);
    await backend.declareQueue('orders', { topics: ['a'], replaceFilter: true });
    expect(await filterNow()).toBeUndefined();
    expect(told).toHaveLength(1);
  });

  it('with an empty filter wants nothing of its topics, and is widened like any other', async () => {
    const { server } = await redis();
    const backend = open(server.port);
    const filterNow = async () => (await backend.describeQueue('orders')).filter;
    for (let count = 0; count < 2; count += 1) {
      await backend.declareQueue('orders', { topics: ['a'], filter: [] });
      expect(await filterNow()).toEqual([]);
    }
    await backend.publishToTopic('a', [message('1')]);
    expect(await backend.describeQueue('orders')).toMatchObject({ depth: 0 });
    await backend.declareQueue('orders', { topics: ['a'], filter: ['A'] });
    expect(await filterNow()).toEqual(['A']);
  });

  it('takes away the topics that it is told to, and what came from them stays', async () => {
    const { server } = await redis();
    const { told, logger } = warnings();
    const backend = open(server.port, { logger });
    await backend.declareQueue('orders', { topics: ['a', 'b'] });
    await backend.publishToTopic('a', [message('before')]);
    await backend.declareQueue('orders', { topics: ['b'], removeTopics: ['a', 'of nobody'] });
    expect(told).toEqual([]);
    expect(await backend.describeQueue('orders')).toMatchObject({ topics: ['b'], depth: 1 });
    await backend.publishToTopic('a', [message('after')]);
    await backend.publishToTopic('b', [message('other')]);
    const came = await received(backend, 'orders', 2);
    expect(came.map((one) => one.message.content)).toEqual(['before', 'other']);
    expect(await backend.describeQueue('orders')).toMatchObject({ depth: 0, inFlight: 2 });
    await came[0]?.release();
    await vi.waitFor(async () => {
      expect(await backend.describeQueue('orders')).toMatchObject({ inFlight: 2 });
    }, 20_000);
  });

  it('forgets in the description a topic that was deleted', async () => {
    const { server } = await redis();
    const backend = open(server.port);
    await backend.declareQueue('orders', { topics: ['a', 'b'], filter: ['A'] });
    await backend.deleteTopic('a');
    expect(await backend.describeQueue('orders')).toMatchObject({ topics: ['b'], filter: ['A'] });
  });

  it('keeps delayed messages, and retries, that are due at the same moment in the order in which they were written', async () => {
    const { server, admin } = await redis();
    const backend = open(server.port);
    await backend.declareQueue('orders');
    const contents = Array.from({ length: 120 }, (_, n) => String(n));
    // One batch, and one moment: the tickets grow by a digit, twice.
    await backend.publishToQueue('orders', contents.slice(0, 60).map(message), { delayMs: 2_000 });
    await backend.publishToQueue('orders', contents.slice(60).map(message));
    const came: string[] = [];
    const toRetry: (() => Promise<void>)[] = [];
    await backend.subscribe('orders', { maxInFlight: 200 }, (delivery) => {
      if (delivery.attempt === 1 && Number(delivery.message.content) >= 60)
        toRetry.push(() => delivery.retry({ delayMs: 2_000 }));
      else came.push(delivery.message.content as string);
    });
    await vi.waitFor(() => expect(toRetry).toHaveLength(60), 20_000);
    // In another order than that of their entries.
    for (const retry of toRetry.reverse()) await retry();
    // As if all were written in one millisecond.
    const members = await admin.zrangeBuffer('{melange}:delayed:orders', '0', '-1');
    const [, due] = await admin.zrange('{melange}:delayed:orders', '-1', '-1', 'WITHSCORES');
    for (const member of members) await admin.zadd('{melange}:delayed:orders', due as string, member);
    await vi.waitFor(() => expect(came).toHaveLength(120), 20_000);
    expect(came).toEqual([...contents.slice(0, 60), ...contents.slice(60).reverse()]);
  });
});

it.each([
  ['an empty name', ''],
  ['a long name', 'q'.repeat(1_025)],
  ['a long name in bytes', '漢'.repeat(342)],
])('refuses %s before Redis is asked', async (_, name) => {
  // Nobody is there to be asked.
  const backend = new RedisStreamsBackend({ url: 'redis://127.0.0.1:1', logger: silentLogger });
  onTestFinished(() => backend.close());
  const refused = { code: 'CONFIGURATION' };
  await expect(backend.declareQueue(name)).rejects.toMatchObject(refused);
  await expect(backend.declareTopic(name)).rejects.toMatchObject(refused);
  await expect(backend.declareQueue('queue', { deadLetterQueue: name })).rejects.toMatchObject(refused);
  await expect(backend.declareQueue('queue', { topics: [name] })).rejects.toMatchObject(refused);
  await expect(backend.declareQueue('queue', { removeTopics: [name] })).rejects.toMatchObject(refused);
  await expect(backend.publishToQueue(name, [message('1')])).rejects.toMatchObject(refused);
  await expect(backend.publishToTopic(name, [message('1')])).rejects.toMatchObject(refused);
  await expect(backend.subscribe(name, { maxInFlight: 1 }, () => undefined)).rejects.toMatchObject(refused);
});

it.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])(
  'refuses %d where it makes no sense',
  async (value) => {
    const backend = new RedisStreamsBackend({ url: 'redis://127.0.0.1:1', logger: silentLogger });
    onTestFinished(() => backend.close());
    const refused = { code: 'CONFIGURATION' };
    const subscribed = backend.subscribe('queue', { maxInFlight: value }, () => undefined);
    await expect(subscribed).rejects.toMatchObject(refused);
    if (value >= 0 && value < 2) return;
    const [batch, delayMs, deadlineMs] = [[message('1')], value, value];
    await expect(backend.publishToQueue('queue', batch, { delayMs })).rejects.toMatchObject(refused);
    await expect(backend.publishToTopic('topic', batch, { deadlineMs })).rejects.toMatchObject(refused);
  },
);
