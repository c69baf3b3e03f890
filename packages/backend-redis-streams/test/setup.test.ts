import { readFileSync } from 'node:fs';
import { type Delivery, type Logger, silentLogger } from '@melange/core';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { canStartHere } from '../../../apps/brokers/src/index.ts';
import { explain } from '../src/errors.ts';
import { RedisStreamsBackend } from '../src/index.ts';
import { declared, message, open, received, redis } from './support/streams.ts';

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
/** The rights of the user, as the README has them. */
const [, sentence = ''] = readme.split('The user needs ');
const rights = [...(sentence.split('\n\n')[0] ?? '').matchAll(/[+~&][^\s`]+/g)].map(String);

describe.skipIf(!canStartHere('redis'))('a Redis (skipped where none can be started)', () => {
  it('gives a user with the rights of the README all that the backend does, without a warning', async () => {
    const { server, admin } = await redis();
    await admin.acl('SETUSER', 'orders', 'reset', 'on', '>secret', ...rights);
    const warnings: unknown[] = [];
    const logger: Logger = { ...silentLogger, warn: (...line) => void warnings.push(line) };
    const spy = vi.spyOn(console, 'warn').mockImplementation((...line) => void warnings.push(line));
    onTestFinished(() => spy.mockRestore());
    const url = `redis://orders:secret@127.0.0.1:${server.port}`;
    const backend = new RedisStreamsBackend({ url, logger, leaseMs: 300 });
    onTestFinished(() => backend.close());
    await backend.declareTopic('topic');
    await backend.declareQueue('queue', { topics: ['topic'], deadLetterQueue: 'dead' });
    const came: Delivery[] = [];
    const subscription = await backend.subscribe('queue', { maxInFlight: 1 }, (one) => void came.push(one));
    const next = async (): Promise<Delivery> => {
      await vi.waitFor(() => expect(came).toHaveLength(1), 20_000);
      return came.pop() as Delivery;
    };
    await backend.publishToTopic('topic', [message('1')]);
    await (await next()).retry({ delayMs: 1 });
    await (await next()).retry();
    const held = await next();
    // Longer than its lease, which is renewed.
    const from = performance.now();
    await vi.waitFor(() => expect(performance.now() - from).toBeGreaterThan(400), 20_000);
    expect(held.signal.aborted).toBe(false);
    await held.release();
    await (await next()).deadLetter({ reason: 'test' });
    await backend.publishToQueue('queue', [message('2')], { delayMs: 1 });
    await (await next()).acknowledge();
    await vi.waitFor(async () => {
      const waking = await admin.call('PUBSUB', 'NUMSUB', '{melange}:wake:queue');
      expect(waking).toEqual(['{melange}:wake:queue', 1]);
    }, 20_000);
    await subscription.close();
    expect(await backend.describeQueue('dead')).toMatchObject({ exists: true, depth: 1 });
    await backend.deleteTopic('topic');
    await backend.deleteQueue('queue');
    expect((await backend.health()).status).toBe('healthy');
    expect(warnings).toEqual([]);
  });

  it('says when its user may not subscribe to wake-ups, and is looked at every pollMs', async () => {
    const { server, admin } = await redis();
    const silent = rights.filter((right) => !/subscribe|^&/.test(right));
    await admin.acl('SETUSER', 'orders', 'reset', 'on', 'nopass', ...silent);
    const warnings: unknown[] = [];
    const logger: Logger = { ...silentLogger, warn: (text) => void warnings.push(text) };
    const backend = open(server.port, {
      redis: { port: server.port, username: 'orders', password: '-' },
      logger,
    });
    const queue = await declared(backend);
    await received(backend, queue, 0);
    await vi.waitFor(() => expect(String(warnings)).toContain('refuses to wake subscribers'), 20_000);
  });

  it('that is a node of a Cluster is refused, saying so', async () => {
    const settings = { 'cluster-enabled': 'yes' };
    const [owner, other] = [await redis({ settings }), await redis({ settings })];
    await owner.admin.cluster('ADDSLOTSRANGE', '0', '16383');
    const [, bus] = await owner.admin.config('GET', 'cluster-port');
    await other.admin.call('CLUSTER', 'MEET', '127.0.0.1', owner.server.port, String(bus));
    await vi.waitFor(async () => {
      expect(await other.admin.cluster('INFO')).toContain('cluster_state:ok');
    }, 20_000);
    const backend = open(other.server.port);
    const refused = { code: 'CONFIGURATION', message: expect.stringContaining('node of a Cluster') };
    await expect(backend.declareQueue('queue')).rejects.toMatchObject(refused);
    await expect(backend.publishToQueue('queue', [message('1')])).rejects.toMatchObject({
      failures: [{ error: refused }],
    });
  });

  it("takes ioredis's own prefix of keys, and wakes its subscribers all the same", async () => {
    const { server, admin } = await redis();
    const backend = open(server.port, { redis: { port: server.port, keyPrefix: 'shop:' }, pollMs: 60_000 });
    const queue = await declared(backend);
    const came: Delivery[] = [];
    await backend.subscribe(queue, { maxInFlight: 1 }, (delivery) => void came.push(delivery));
    for (const content of ['1', '2']) {
      await backend.publishToQueue(queue, [message(content)]);
      await vi.waitFor(() => expect(came).toHaveLength(1), 20_000);
      await came.pop()?.acknowledge();
    }
    expect((await admin.keys('*')).every((key) => key.startsWith('shop:{melange}:'))).toBe(true);
  });

  it('tells the reason when it refuses', async () => {
    const { server, admin } = await redis();
    await admin.acl('SETUSER', 'orders', 'reset', 'on', 'nopass', '~*', '+info');
    const backend = open(server.port, { redis: { port: server.port, username: 'orders', password: '-' } });
    await expect(backend.declareQueue('queue')).rejects.toThrow(/NOPERM/);
  });
});

it('where url and redis both say where Redis is, url counts', async () => {
  const backend = new RedisStreamsBackend({
    url: 'redis://127.0.0.1:1',
    redis: { port: 2 },
    connectTimeoutMs: 300,
    logger: silentLogger,
  });
  onTestFinished(() => backend.close());
  await expect(backend.describeQueue('queue')).rejects.toThrow(/127\.0\.0\.1:1\b/);
});

// From within a script Redis 6 answers with the place in it before the error.
it.each([
  ['OOM', 'QUEUE_FULL'],
  ['MOVED', 'CONFIGURATION'],
  ['WRONGTYPE', 'PUBLISH_FAILED'],
])('the answer %s means %s, of Redis 6 and 7', (answer, code) => {
  const old = `ERR Error running script (call to f_0a1b): @user_script:24: @user_script: 24: -${answer} not now`;
  for (const text of [`${answer} not now`, old]) {
    const answer = Object.assign(new Error(text), { name: 'ReplyError' });
    expect(explain(answer), text).toMatchObject({ kind: 'refused', error: { code } });
  }
});

it.each([
  [new TypeError('of our own'), { kind: 'refused' }],
  [new Error('connect ECONNREFUSED'), { kind: 'unavailable', reason: 'connect ECONNREFUSED' }],
  [Object.assign(new Error('LOADING it'), { name: 'ReplyError' }), { kind: 'unavailable' }],
  [Object.assign(new Error('NOQUEUE no such queue'), { name: 'ReplyError' }), { kind: 'missing' }],
])('%s is explained as %j: a mistake of the program is not repeated as an outage is', (error, fault) => {
  expect(explain(error)).toMatchObject(fault);
});
