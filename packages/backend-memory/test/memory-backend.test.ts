import { MemoryBackend } from '@melange/backend-memory';
import { type Delivery, type PublishError, silentLogger } from '@melange/core';
import { beforeEach, describe, expect, test } from 'vitest';
import { ManualClock, settled } from '../../core/test/support/manual-clock.ts';
import { message, of, open } from './support/inbox.ts';

let clock: ManualClock;
let backend: MemoryBackend;

beforeEach(async () => {
  clock = new ManualClock();
  backend = new MemoryBackend({ clock });
  await backend.declareQueue('queue', { deadLetterQueue: 'dead' });
});

const code = (code: string) => expect.objectContaining({ code });

describe('leases', () => {
  beforeEach(async () => {
    backend = new MemoryBackend({ clock, leaseMs: 100 });
    await backend.declareQueue('queue');
    await backend.publishToQueue('queue', [message('a')]);
  });

  test('a delivery past its lease is aborted and comes again; its late settlement changes nothing', async () => {
    const inbox = await open(backend, 'queue');
    await settled();
    const first = of(inbox, 'a');
    await clock.advance(99);
    expect(first.signal.aborted).toBe(false);
    await clock.advance(1);
    expect(first.signal.reason).toMatchObject({ reason: 'lease-lost' });
    expect(inbox.seen).toEqual(['a#1', 'a#1']);
    await first.acknowledge();
    await clock.advance(100);
    expect(inbox.seen).toEqual(['a#1', 'a#1', 'a#1']);
  });

  test('a lost delivery no longer counts as in flight, nor holds up close', async () => {
    const inbox = await open(backend, 'queue', { maxInFlight: 1 });
    await settled();
    const closed = inbox.subscription.close();
    await clock.advance(100);
    await closed;
    expect((await backend.describeQueue('queue')).depth).toBe(1);
  });

  test('a settled delivery leaves no timer behind', async () => {
    const inbox = await open(backend, 'queue');
    await settled();
    await of(inbox, 'a').acknowledge();
    expect(clock.pending).toBe(0);
  });

  test('without a lease a delivery stays with its subscriber for ever', async () => {
    backend = new MemoryBackend({ clock });
    await backend.declareQueue('queue');
    const inbox = await open(backend, 'queue');
    await backend.publishToQueue('queue', [message('a')]);
    await clock.advance(1e10);
    expect(inbox.seen).toEqual(['a#1']);
    expect(of(inbox, 'a').signal.aborted).toBe(false);
  });
});

describe('bounds', () => {
  test('what a full queue cannot take is named, with QUEUE_FULL; the rest is safe', async () => {
    backend = new MemoryBackend({ maxMessages: 2 });
    await backend.declareQueue('queue');
    const error = await backend
      .publishToQueue('queue', [message('a'), message('b'), message('c')])
      .catch((error: PublishError) => error);
    expect(error).toMatchObject({
      code: 'PUBLISH_FAILED',
      failures: [{ messageId: 'c', error: code('QUEUE_FULL') }],
    });
    expect((await backend.describeQueue('queue')).depth).toBe(2);
    expect(await backend.health()).toMatchObject({ status: 'degraded' });
  });

  test('messages in flight and delayed ones count; an acknowledged one makes room', async () => {
    backend = new MemoryBackend({ clock, maxMessages: 2 });
    await backend.declareQueue('queue');
    const inbox = await open(backend, 'queue');
    await backend.publishToQueue('queue', [message('in flight')]);
    await backend.publishToQueue('queue', [message('delayed')], { delayMs: 10 });
    await settled();
    await expect(backend.publishToQueue('queue', [message('c')])).rejects.toEqual(code('PUBLISH_FAILED'));
    expect(await backend.health()).toMatchObject({
      status: 'degraded',
      detail: expect.stringContaining('publishing to queue "queue"'),
    });
    await of(inbox, 'in flight').acknowledge();
    expect(await backend.health()).toEqual({ status: 'healthy' });
    await backend.publishToQueue('queue', [message('c')]);
  });

  test('a topic puts a message into all of its queues or into none', async () => {
    backend = new MemoryBackend({ maxMessages: 1 });
    await backend.declareQueue('roomy', { topics: ['topic'] });
    await backend.declareQueue('full', { topics: ['topic'] });
    await backend.publishToQueue('full', [message('a')]);
    await expect(backend.publishToTopic('topic', [message('b')])).rejects.toEqual(code('PUBLISH_FAILED'));
    expect((await backend.describeQueue('roomy')).depth).toBe(0);
  });

  test('a dead letter that finds its queue full rejects, and its message comes again', async () => {
    backend = new MemoryBackend({ clock, maxMessages: 1 });
    await backend.declareQueue('queue', { deadLetterQueue: 'dead' });
    await backend.publishToQueue('dead', [message('old')]);
    await backend.publishToQueue('queue', [message('a')]);
    const inbox = await open(backend, 'queue');
    await settled();
    const refused = expect(of(inbox, 'a').deadLetter({ reason: 'test' })).rejects.toEqual(code('QUEUE_FULL'));
    await clock.advance(1_000);
    await refused;
    expect(inbox.seen).toEqual(['a#1', 'a#1']);
  });

  test('1,000,000 publishes in one turn, and as many messages in one', async () => {
    const one = message('a');
    const publishes: Promise<void>[] = [];
    for (let count = 0; count < 500_000; count += 1) publishes.push(backend.publishToQueue('queue', [one]));
    await Promise.all(publishes);
    await backend.publishToQueue('queue', new Array(500_000).fill(one));
    expect((await backend.describeQueue('queue')).depth).toBe(1_000_000);
    await expect(backend.publishToQueue('queue', [one])).rejects.toEqual(code('PUBLISH_FAILED'));
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY, -1])('a delay of %d is refused', async (delayMs) => {
    await expect(backend.publishToQueue('queue', [message('a')], { delayMs })).rejects.toEqual(
      code('CONFIGURATION'),
    );
    expect((await backend.describeQueue('queue')).depth).toBe(0);
  });

  test('an empty name is refused before anything is made', async () => {
    await expect(backend.declareQueue('')).rejects.toEqual(code('CONFIGURATION'));
    await expect(backend.declareTopic('')).rejects.toEqual(code('CONFIGURATION'));
    await expect(backend.declareQueue('new', { deadLetterQueue: '' })).rejects.toEqual(code('CONFIGURATION'));
    await expect(backend.declareQueue('new', { topics: ['made', ''] })).rejects.toEqual(
      code('CONFIGURATION'),
    );
    expect((await backend.describeQueue('new')).exists).toBe(false);
    await expect(backend.publishToTopic('made', [message('a')])).rejects.toEqual(code('TOPIC_NOT_FOUND'));
  });

  test.each([
    { maxMessages: 0 },
    { maxMessages: 1.5 },
    { maxMessages: Number.NaN },
    { leaseMs: 0 },
    { leaseMs: Number.POSITIVE_INFINITY },
  ])('%j is refused', (options) => {
    expect(() => new MemoryBackend(options)).toThrow(code('CONFIGURATION'));
  });

  test('a subscriber that could hold nothing is refused', async () => {
    await expect(open(backend, 'queue', { maxInFlight: 0 })).rejects.toEqual(code('CONFIGURATION'));
  });

  test('a queue of 100,000 messages keeps its order and leaves the event loop its turns', async () => {
    const count = 100_000;
    for (let index = 0; index < count; index += 1) {
      await backend.publishToQueue('queue', [message(String(index))]);
    }
    let turns = 0;
    let next = 0;
    let inOrder = true;
    const turn = (): void => {
      turns += 1;
      if (next < count) setImmediate(turn);
    };
    setImmediate(turn);
    await new Promise<void>((resolve) => {
      void backend.subscribe('queue', { maxInFlight: 50 }, (delivery) => {
        inOrder &&= delivery.message.id === String(next);
        next += 1;
        void delivery.acknowledge();
        if (next === count) resolve();
      });
    });
    expect(inOrder).toBe(true);
    expect(turns).toBeGreaterThan(100);
    expect((await backend.describeQueue('queue')).depth).toBe(0);
  });
});

describe('copies', () => {
  test('neither the publisher nor a handler can change what the queue holds', async () => {
    const content = new Uint8Array([1, 2, 3]);
    const headers: Record<string, string> = { tenant: 'blue' };
    await backend.publishToQueue('queue', [message('a', { content, headers })]);
    content[0] = 99;
    headers.tenant = 'red';
    const inbox = await open(backend, 'queue');
    await settled();
    const spoilt = of(inbox, 'a');
    (spoilt.message.content as Uint8Array)[1] = 99;
    (spoilt.message.headers as Record<string, string>).tenant = 'green';
    await spoilt.release();
    await settled();
    expect(inbox.deliveries[1]?.message).toMatchObject({
      content: new Uint8Array([1, 2, 3]),
      headers: { tenant: 'blue' },
    });
  });

  test('a dead letter carries what was published, not what its handler made of it', async () => {
    await backend.publishToQueue('queue', [message('a', { content: new Uint8Array([1]) })]);
    const [inbox, dead] = [await open(backend, 'queue'), await open(backend, 'dead')];
    await settled();
    (of(inbox, 'a').message.content as Uint8Array)[0] = 99;
    await of(inbox, 'a').deadLetter({ reason: 'test' });
    await settled();
    expect(of(dead, 'a').message.content).toEqual(new Uint8Array([1]));
  });

  test("a Node buffer becomes bytes of its own, not a view of the pool's memory", async () => {
    await backend.publishToQueue('queue', [message('a', { content: Buffer.from('text') })]);
    const inbox = await open(backend, 'queue');
    await settled();
    const { content } = of(inbox, 'a').message;
    expect(Buffer.isBuffer(content)).toBe(false);
    expect(content).toEqual(new Uint8Array(Buffer.from('text')));
  });

  test('headers named like properties of every object stay headers', async () => {
    const headers = JSON.parse('{"__proto__":"p","constructor":"c"}') as Record<string, string>;
    await backend.publishToQueue('queue', [message('a', { headers })]);
    const inbox = await open(backend, 'queue');
    await settled();
    expect(JSON.stringify(of(inbox, 'a').message.headers)).toBe('{"__proto__":"p","constructor":"c"}');
  });
});

describe('delivery', () => {
  test('released messages come again in their old places, whatever the order of releasing', async () => {
    const ids = ['a', 'b', 'c', 'd', 'e', 'f'];
    await backend.publishToQueue(
      'queue',
      [...ids, 'g'].map((id) => message(id)),
    );
    const first = await open(backend, 'queue', { maxInFlight: 6 });
    await settled();
    const closed = first.subscription.close();
    for (const id of ['d', 'a', 'f', 'b', 'e', 'c']) await of(first, id).release();
    await closed;
    const second = await open(backend, 'queue', { maxInFlight: 7 });
    await settled();
    expect(second.seen).toEqual([...ids, 'g'].map((id) => `${id}#1`));
  });

  test('subscribers of one queue are served in turn, however the messages come', async () => {
    const inboxes = [await open(backend, 'queue'), await open(backend, 'queue')];
    await settled();
    await backend.publishToQueue('queue', [message('a'), message('b')]);
    await settled();
    expect(inboxes.map(({ seen }) => seen.length)).toEqual([1, 1]);
    for (const id of ['c', 'd', 'e', 'f']) {
      await backend.publishToQueue('queue', [message(id)]);
      await settled();
    }
    expect(inboxes.map(({ seen }) => seen.length)).toEqual([3, 3]);
  });

  test('never inside publish, nor before the subscriber holds its subscription', async () => {
    const events: string[] = [];
    await backend.publishToQueue('queue', [message('a')]);
    const subscribing = backend
      .subscribe('queue', { maxInFlight: 2 }, ({ message }) => void events.push(message.id))
      .then(() => events.push('subscribed'));
    void backend.publishToQueue('queue', [message('b')]);
    await subscribing;
    await settled();
    expect(events).toEqual(['subscribed', 'a', 'b']);
    const publishing = backend.publishToQueue('dead', [message('c')]);
    expect(events).toHaveLength(3);
    await publishing;
  });

  test('a receiver that throws is logged, hurts no other message, and gets its message again later', async () => {
    const logged: string[] = [];
    const logger = { ...silentLogger, error: (text: string) => void logged.push(text) };
    backend = new MemoryBackend({ clock, logger });
    await backend.declareQueue('queue');
    const seen: string[] = [];
    await backend.subscribe('queue', { maxInFlight: 2 }, (delivery: Delivery) => {
      seen.push(`${delivery.message.id}#${delivery.attempt}`);
      if (seen.length === 1) throw new Error('a defect');
      void delivery.acknowledge();
    });
    await backend.publishToQueue('queue', [message('a'), message('b')]);
    await settled();
    expect(seen).toEqual(['a#1', 'b#1']);
    await clock.advance(1_000);
    expect(seen).toEqual(['a#1', 'b#1', 'a#1']);
    expect(logged).toEqual(['a receiver threw; its message comes again after a pause']);
  });

  test('is quiet when it hands over nothing more by itself, and not while it is about to', async () => {
    expect(backend.isQuiet).toBe(true);
    const inbox = await open(backend, 'queue', { maxInFlight: 2 });
    expect(backend.isQuiet).toBe(false);
    await settled();
    expect(backend.isQuiet).toBe(true);
    const publishing = backend.publishToQueue('queue', [
      message('a', { key: 'k' }),
      message('b', { key: 'k' }),
      message('c'),
    ]);
    expect(backend.isQuiet).toBe(false);
    await publishing;
    await settled();
    // One waits for its key, and nobody has room for it: still quiet.
    expect(inbox.seen).toEqual(['a#1', 'c#1']);
    expect(backend.isQuiet).toBe(true);
    await of(inbox, 'c').release();
    expect(backend.isQuiet).toBe(false);
    await settled();
    await of(inbox, 'a').retry({ delayMs: 100 });
    await settled();
    expect(backend.isQuiet).toBe(true);
    await clock.advance(100);
    expect(inbox.seen).toEqual(['a#1', 'c#1', 'c#1', 'a#2']);
    await backend.close();
    expect(backend.isQuiet).toBe(true);
  });
});

describe('ends', () => {
  test('a queue declared twice at once is made once: nothing put into it is lost', async () => {
    const options = { deadLetterQueue: 'new dead', topics: ['topic'] };
    await Promise.all([
      backend.declareQueue('new', options),
      backend.declareQueue('new', options),
      backend.publishToQueue('new', [message('a')]),
    ]);
    expect((await backend.describeQueue('new')).depth).toBe(1);
  });

  test('deleting a queue takes its deliveries away; its subscription goes on when it is declared again', async () => {
    const inbox = await open(backend, 'queue');
    await backend.publishToQueue('queue', [message('a')]);
    await settled();
    await backend.deleteQueue('queue');
    expect(of(inbox, 'a').signal.aborted).toBe(true);
    await of(inbox, 'a').acknowledge();
    expect(await backend.health()).toMatchObject({
      status: 'degraded',
      detail: expect.stringContaining('receiving from queue "queue"'),
    });
    await clock.advance(30_000);
    expect(await backend.health()).toMatchObject({ status: 'unhealthy' });
    await backend.declareQueue('queue');
    await backend.publishToQueue('queue', [message('b')]);
    await clock.advance(5_000);
    expect(await backend.health()).toEqual({ status: 'healthy' });
    expect(inbox.seen).toEqual(['a#1', 'b#1']);
    await of(inbox, 'b').acknowledge();
    await inbox.subscription.close();
    await inbox.subscription.ended;
  });

  test('a deleted queue whose subscriptions are closed is nobody’s trouble; until empty it is an error', async () => {
    const inbox = await open(backend, 'queue');
    await backend.deleteQueue('queue');
    await inbox.subscription.close();
    expect(await backend.health()).toEqual({ status: 'healthy' });
    await backend.declareQueue('queue');
    await backend.publishToQueue('queue', [message('a'), message('b')]);
    const emptying = await open(backend, 'queue', { maxInFlight: 1, untilEmpty: true });
    await settled();
    await backend.deleteQueue('queue');
    await expect(emptying.subscription.ended).rejects.toEqual(code('QUEUE_NOT_FOUND'));
  });

  test('closing the backend also frees a subscription that waits for its last handler', async () => {
    const inbox = await open(backend, 'queue');
    await backend.publishToQueue('queue', [message('a')]);
    await settled();
    const closing = inbox.subscription.close();
    await backend.close();
    await closing;
    await inbox.subscription.ended;
    expect(of(inbox, 'a').signal.reason).toMatchObject({ reason: 'shutdown' });
    await of(inbox, 'a').deadLetter({ reason: 'too late' });
  });

  test('a closed backend keeps no timer, and refuses everything with CLOSED', async () => {
    await backend.publishToQueue('queue', [message('a')], { delayMs: 1_000 });
    await backend.close();
    await backend.close();
    expect(clock.pending).toBe(0);
    const refused = [
      backend.declareQueue('queue'),
      backend.declareTopic('topic'),
      backend.publishToQueue('queue', [message('a')]),
      backend.publishToTopic('topic', [message('a')]),
      backend.subscribe('queue', { maxInFlight: 1 }, () => undefined),
      backend.describeQueue('queue'),
      backend.deleteQueue('queue'),
      backend.deleteTopic('topic'),
    ];
    for (const outcome of await Promise.allSettled(refused)) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: code('CLOSED') });
    }
    expect(await backend.health()).toMatchObject({ status: 'unhealthy' });
  });
});
