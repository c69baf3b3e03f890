import { fixedDelays, type Logger, MessageDispatcher, Reject, RetryLater } from '@melange/core';
import { MemoryDeduplicationCache } from '@melange/dedup-memory';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { settled } from './support/manual-clock.ts';
import { consumer, type Process, Scene } from './support/scene.ts';
import { serializers } from './support/text-serializer.ts';

let scene: Scene;
const lines: string[] = [];
const facts: (Readonly<Record<string, unknown>> | undefined)[] = [];
const at =
  (level: string) =>
  (line: string, fact?: Readonly<Record<string, unknown>>): void => {
    lines.push(`${level}: ${line}`);
    facts.push(fact);
  };
const logger: Logger = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };

beforeEach(async () => {
  scene = await Scene.open();
  lines.length = 0;
  facts.length = 0;
});
afterEach(() => scene.close());

const declined: Process = () => Promise.reject(new Error('declined'));

test('a failed message has one line for each attempt, which says what becomes of it', async () => {
  await scene.publish(1);
  const stop = new AbortController();
  const running = scene.dispatcher(declined, { logger }).consumeLoop('orders', { signal: stop.signal });
  await settled();
  await scene.clock.advance(200);
  stop.abort();
  await running;
  expect(lines).toEqual([
    'warn: message will be retried: retry 1 of 2 in 100 ms',
    'warn: message will be retried: retry 2 of 2 in 100 ms',
    'error: message dead-lettered to dead: attempts exhausted',
  ]);
  const { messageId } = facts[0] ?? {};
  expect(facts[2]).toEqual({
    queue: 'orders',
    messageId,
    attempt: 3,
    consumer: 'consumer',
    error: expect.objectContaining({ message: 'declined' }),
  });
});

test('so does one that is retried in its lane', async () => {
  await scene.publish(1, () => 'k');
  const stop = new AbortController();
  const failing = scene.dispatcher(declined, { logger, ordering: 'key' });
  const running = failing.consumeLoop('orders', { signal: stop.signal });
  await settled();
  await scene.clock.advance(200);
  stop.abort();
  await running;
  expect(lines).toEqual([
    'warn: message will be retried: retry 1 of 2 in 100 ms',
    'warn: message will be retried: retry 2 of 2 in 100 ms',
    'error: message dead-lettered to dead: attempts exhausted',
  ]);
  expect(facts.map((fact) => fact?.attempt)).toEqual([1, 2, 3]);
});

test('each error of an attempt has a line', async () => {
  await scene.publish(1);
  const failing = scene.dispatcher(declined, { logger, retry: fixedDelays([]) });
  failing.attachConsumer(consumer(() => Promise.reject(new Reject('never')), 'second'));
  await failing.consumeEvent('orders');
  expect(lines).toEqual(Array(2).fill('error: message dead-lettered to dead: rejected'));
  expect(facts.map((fact) => fact?.consumer)).toEqual(['consumer', 'second']);
});

test('without a dead-letter queue the line says what that means', async () => {
  await scene.backend.declareQueue('bare');
  const publish = (manifest = 'json', content = '{}') =>
    scene.backend.publishToQueue('bare', [
      {
        id: manifest + content,
        content,
        manifest,
        serializerId: 1,
        key: undefined,
        headers: {},
        publishedAt: 0,
      },
    ]);
  const policy = { maxAttempts: 1, longestDelayMs: 60_000, delayMs: () => 0 };
  const rejecting: Process = () => Promise.reject(new Reject('never'));
  await publish();
  await scene.dispatcher(declined, { logger, retry: policy }).consumeEvent('bare');
  await publish('json', '{');
  await scene.dispatcher(declined, { logger }).consumeEvent('bare');
  await publish();
  await scene.dispatcher(rejecting, { logger }).consumeEvent('bare');
  await publish();
  await scene.dispatcher(declined, { logger, alwaysAck: true }).consumeEvent('bare');
  expect(lines).toEqual([
    'error: message will be retried: in 60000 ms, its attempts exhausted, as the queue has no dead-letter queue',
    'error: message acknowledged: undecodable, and the queue has no dead-letter queue',
    'error: message acknowledged: rejected, and the queue has no dead-letter queue',
    'warn: message acknowledged: alwaysAck',
  ]);
});

test('a message that nobody accepts has a warning where it is dropped, and an error where it is dead-lettered', async () => {
  await scene.backend.declareQueue('bare');
  const dispatching = new MessageDispatcher({ backend: scene.backend, serializers, logger });
  await scene.publisher.publish('bare', { n: 1 });
  await scene.publish(1);
  await dispatching.consumeEvent('bare');
  await dispatching.consumeEvent('orders');
  expect(lines).toEqual([
    'warn: message acknowledged: no consumer accepts it',
    'error: message dead-lettered to dead: unhandled',
  ]);
  expect(dispatching.counters).toMatchObject({ unhandled: 2, acknowledged: 1, deadLettered: 1 });
  expect(await scene.depth('dead')).toBe(1);
});

test('a wait that a handler asked for, and a claim held elsewhere, are no more than information', async () => {
  await scene.publish(1);
  const cache = new MemoryDeduplicationCache({ clock: scene.clock });
  const later: Process = () => Promise.reject(new RetryLater('later', { delayMs: 1_000 }));
  await scene.dispatcher(later, { logger, cache }).consumeEvent('orders');
  vi.spyOn(cache, 'claim').mockReturnValue({ status: 'held' });
  await scene.clock.advance(1_000);
  await scene.dispatcher(later, { logger, cache }).consumeEvent('orders');
  expect(lines).toEqual([
    'info: message will be retried: in 1000 ms, as its handler asked; this is no attempt',
    'info: message will be retried: in 100 ms, for it did not run; this is no attempt',
  ]);
  expect(facts).toMatchObject([{ error: { code: 'RETRY_LATER' } }, { error: { code: 'CLAIM_HELD' } }]);
});

test('a message whose broker could not be told has a line for that, too', async () => {
  await scene.publish(1);
  const backend = scene.withDeliveries(() => ({
    deadLetter: () => Promise.reject(new Error('the connection broke')),
  }));
  await scene.dispatcher(declined, { logger, backend, retry: fixedDelays([]) }).consumeEvent('orders');
  expect(lines).toEqual(
    Array(2).fill('error: message comes again: its broker could not be told what became of it'),
  );
  expect(facts).toMatchObject([
    { error: { message: 'declined' } },
    { error: { message: 'the connection broke' } },
  ]);
});

test('what a handler throws after its message was given back is not passed over in silence', async () => {
  await scene.publish(1);
  const stop = new AbortController();
  const slow: Process = (_, { signal }) =>
    new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('too late'))));
  const running = scene
    .dispatcher(slow, { logger })
    .consumeLoop('orders', { signal: stop.signal, deadlineMs: 100 });
  await settled();
  stop.abort();
  await settled();
  await scene.clock.advance(100);
  await running;
  await settled();
  expect(lines).toEqual(['warn: message goes back to the broker']);
});

test('an early acknowledgement that a failure followed is called a loss', async () => {
  await scene.publish(1);
  await scene.dispatcher(declined, { logger, earlyAck: true }).consumeEvent('orders');
  expect(lines).toEqual(['error: message lost: it was acknowledged before it ran (earlyAck)']);
});

test('a policy without an end names none', async () => {
  await scene.publish(1);
  const retry = { ...fixedDelays([100]), maxAttempts: Number.POSITIVE_INFINITY };
  await scene.dispatcher(declined, { logger, retry }).consumeEvent('orders');
  expect(lines).toEqual(['warn: message will be retried: retry 1 in 100 ms']);
});
