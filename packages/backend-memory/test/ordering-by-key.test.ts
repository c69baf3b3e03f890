import { MemoryBackend } from '@melange/backend-memory';
import { beforeEach, expect, test } from 'vitest';
import { ManualClock, settled } from '../../core/test/support/manual-clock.ts';
import { message, of, open } from './support/inbox.ts';

let clock: ManualClock;
let backend: MemoryBackend;

beforeEach(async () => {
  clock = new ManualClock();
  backend = new MemoryBackend({ clock });
  await backend.declareQueue('queue', { deadLetterQueue: 'dead' });
});

const keyed = (id: string, key = 'k') => message(id, { key });

test('one key is in flight once among all subscriptions, other keys and keyless messages are free', async () => {
  const inboxes = [await open(backend, 'queue'), await open(backend, 'queue')];
  await backend.publishToQueue('queue', [
    keyed('k1'),
    keyed('k2'),
    keyed('j1', 'j'),
    message('free'),
    keyed('k3'),
  ]);
  await settled();
  const seen = () => inboxes.flatMap((inbox) => inbox.seen).sort();
  expect(seen()).toEqual(['free#1', 'j1#1', 'k1#1']);
  expect((await backend.describeQueue('queue')).depth).toBe(2);
  const holder = inboxes.find((inbox) => inbox.seen.includes('k1#1'));
  await holder?.deliveries.find((delivery) => delivery.message.id === 'k1')?.acknowledge();
  await settled();
  expect(seen()).toEqual(['free#1', 'j1#1', 'k1#1', 'k2#1']);
});

test('later messages of a key wait while the earlier one waits for its retry', async () => {
  const inbox = await open(backend, 'queue');
  await backend.publishToQueue('queue', [keyed('k1'), keyed('k2'), message('free')]);
  await settled();
  await of(inbox, 'k1').retry({ delayMs: 100 });
  await clock.advance(99);
  expect(inbox.seen).toEqual(['k1#1', 'free#1']);
  await clock.advance(1);
  expect(inbox.seen).toEqual(['k1#1', 'free#1', 'k1#2']);
  await inbox.deliveries[2]?.acknowledge();
  await settled();
  expect(inbox.seen).toEqual(['k1#1', 'free#1', 'k1#2', 'k2#1']);
});

test.each([
  ['released', 'k1#1', (inbox: Awaited<ReturnType<typeof open>>) => of(inbox, 'k1').release()],
  ['retried at once', 'k1#2', (inbox: Awaited<ReturnType<typeof open>>) => of(inbox, 'k1').retry()],
])('a message %s comes before the later ones of its key', async (_, again, settle) => {
  const inbox = await open(backend, 'queue');
  await backend.publishToQueue('queue', [keyed('k1'), keyed('k2'), keyed('k3')]);
  await settled();
  await settle(inbox);
  for (let count = 1; count <= 3; count += 1) {
    await settled();
    await inbox.deliveries[count]?.acknowledge();
  }
  expect(inbox.seen).toEqual(['k1#1', again, 'k2#1', 'k3#1']);
});

test('a dead-lettered message frees its key', async () => {
  const inbox = await open(backend, 'queue');
  await backend.publishToQueue('queue', [keyed('k1'), keyed('k2')]);
  await settled();
  await of(inbox, 'k1').deadLetter({ reason: 'test' });
  await settled();
  expect(inbox.seen).toEqual(['k1#1', 'k2#1']);
});

test('a lost lease keeps the order of its key', async () => {
  backend = new MemoryBackend({ clock, leaseMs: 100 });
  await backend.declareQueue('queue');
  const inbox = await open(backend, 'queue');
  await backend.publishToQueue('queue', [keyed('k1'), keyed('k2')]);
  await settled();
  await clock.advance(100);
  expect(inbox.seen).toEqual(['k1#1', 'k1#1']);
});

test('an intake until empty does not wait for what only a delay can free', async () => {
  const inbox = await open(backend, 'queue', { untilEmpty: true });
  await backend.publishToQueue('queue', [keyed('k1'), keyed('k2')]);
  await settled();
  await of(inbox, 'k1').retry({ delayMs: 1_000 });
  await inbox.subscription.ended;
  expect(inbox.seen).toEqual(['k1#1']);
});

test('100,000 messages of one key, each retried once, come in their order', async () => {
  const count = 100_000;
  await backend.publishToQueue(
    'queue',
    Array.from({ length: count }, (_, index) => keyed(String(index))),
  );
  let acknowledged = 0;
  let inOrder = true;
  await new Promise<void>((resolve) => {
    void backend.subscribe('queue', { maxInFlight: 10 }, (delivery) => {
      inOrder &&= delivery.message.id === String(acknowledged);
      if (delivery.attempt === 1) {
        void delivery.retry();
        return;
      }
      void delivery.acknowledge();
      acknowledged += 1;
      if (acknowledged === count) resolve();
    });
  });
  expect(inOrder).toBe(true);
});
