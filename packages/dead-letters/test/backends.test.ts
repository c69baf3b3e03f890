import type { Message, MessagingBackend } from '@melange/core';
import { isBrowsable, MelangeError } from '@melange/core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DeadLetters, redrivenHeader } from '../src/index.ts';
import {
  type Broker,
  brokers,
  deferred,
  drain,
  fail,
  memory,
  message,
  next,
  ownHeaders,
  queues,
  settledSubscriptions,
  unbrowsable,
} from './support/scene.ts';

const shared = memory();
const sharedUnbrowsed = unbrowsable(memory());
const all: readonly Broker[] = [
  { name: 'memory', missing: undefined, open: () => shared },
  { name: 'memory, not browsed', missing: undefined, open: () => sharedUnbrowsed },
  ...brokers,
];

const ids = (messages: readonly Message[]): string[] => messages.map(({ id }) => id);

describe.each(all)('dead letters on $name', ({ name, missing, open }) => {
  describe.skipIf(missing !== undefined)(missing ?? 'as a broker has them', () => {
    let backend: MessagingBackend;
    let letters: DeadLetters;

    beforeAll(() => {
      backend = open();
      letters = new DeadLetters({ backend });
    });
    afterAll(() => backend.close());

    const listed = async (queue: string): Promise<string[]> => {
      const { letters: found, isComplete } = await letters.list(queue, { limit: 1_000 });
      expect(isComplete).toBe(true);
      return ids(found.map(({ message: found }) => found)).sort();
    };

    it('are listed as often as one likes, with what their headers say', async () => {
      const { queue, dead } = await queues(backend);
      const error = new TypeError('order 17 has no total');
      await fail(backend, queue, [
        { id: '1', error, consumer: 'billing' },
        { id: '2', reason: 'unhandled' },
      ]);
      expect(await listed(dead)).toEqual(['1', '2']);
      expect(await listed(dead)).toEqual(['1', '2']);
      const letter = await letters.show(dead, '1');
      expect(letter).toMatchObject({
        reason: 'rejected',
        errorName: 'TypeError',
        errorMessage: 'order 17 has no total',
        consumer: 'billing',
        sourceQueue: queue,
        attempts: 1,
        redriven: 0,
        deadLetteredAt: expect.any(Date),
      });
      expect(letter?.message).toMatchObject({ id: '1', content: '{"order":"1"}', manifest: 'OrderPlaced' });
      expect(await letters.show(dead, '3')).toBeUndefined();
    });

    it('are looked at while others hold them, where the broker can be browsed', async ({ skip }) => {
      if (!isBrowsable(backend)) return skip('the broker cannot be browsed');
      const { queue, dead } = await queues(backend);
      await fail(backend, queue, [{ id: '1' }, { id: '2' }, { id: '3' }]);
      const held = await next(backend, dead);
      const few = new DeadLetters({ backend, maxHeld: 1 });
      expect(await few.list(dead)).toMatchObject({ scanned: 3, isComplete: true });
      expect(await few.summarize(dead)).toMatchObject({ count: 3, isComplete: true });
      const lines: string[] = [];
      expect(await few.export(dead, (line) => void lines.push(line))).toEqual({ count: 3, isComplete: true });
      expect(lines).toHaveLength(3);
      await held.release();
      await settledSubscriptions();
    });

    it('go back with their id, content and headers, those that are meant alone', async () => {
      const { queue, dead } = await queues(backend);
      const broken = (n: number): Error => new Error(`order ${n} has no total`);
      await fail(backend, queue, [
        { id: '1', error: broken(1) },
        { id: '2', error: new Error('timeout') },
        { id: '3', error: broken(3), message: { content: new Uint8Array([0, 255, 10]), serializerId: 3 } },
      ]);
      const { groups } = await letters.summarize(dead);
      expect(groups.map(({ count, errorMessage }) => [count, errorMessage])).toEqual([
        [2, 'order <n> has no total'],
        [1, 'timeout'],
      ]);
      const result = await letters.redrive(dead, { filter: { group: groups[0]?.group as string } });
      expect(result).toMatchObject({ matched: 2, moved: 2, failed: 0, isComplete: true, stopped: undefined });
      expect(await listed(dead)).toEqual(['2']);
      const moved = [...(await drain(backend, queue, 2))].sort((one, other) => (one.id < other.id ? -1 : 1));
      expect(ids(moved)).toEqual(['1', '3']);
      expect(moved[1]).toMatchObject({ content: new Uint8Array([0, 255, 10]), serializerId: 3 });
      for (const { headers } of moved) expect(headers).toEqual({ tenant: 'acme', [redrivenHeader]: '1' });
    });

    it('that fail again count their redrives, and are not taken again by the one that moved them', async () => {
      const { queue, dead } = await queues(backend);
      await fail(backend, queue, [{ id: '1' }, { id: '2' }]);
      const subscription = await backend.subscribe(queue, { maxInFlight: 10 }, (delivery) => {
        void delivery.deadLetter({ reason: 'rejected' });
      });
      const { moved } = await letters.redrive(dead);
      expect(moved).toBe(2);
      const again = async (): Promise<number> =>
        (await letters.list(dead)).letters.filter(({ redriven }) => redriven === 1).length;
      await expect.poll(again, { timeout: 30_000 }).toBe(2);
      await subscription.close();
      await letters.redrive(dead);
      const back = await drain(backend, queue, 2);
      expect(back.map(ownHeaders)).toEqual([
        { tenant: 'acme', [redrivenHeader]: '2' },
        { tenant: 'acme', [redrivenHeader]: '2' },
      ]);
    });

    it('are moved by one at a time: a second redrive is refused', async () => {
      const { queue, dead } = await queues(backend);
      await fail(backend, queue, [{ id: '1' }, { id: '2' }]);
      const other = open();
      const [isHalfway, goOn] = [deferred<void>(), deferred<boolean>()];
      const first = letters.redrive(dead, {
        canary: {
          first: 1,
          patienceMs: 60_000,
          wasProcessed: () => {
            isHalfway.resolve();
            return goOn.promise;
          },
        },
      });
      await isHalfway.promise;
      const refused = await new DeadLetters({ backend: other })
        .redrive(dead)
        .catch((error: unknown) => error);
      expect(MelangeError.is(refused, 'QUEUE_IN_USE')).toBe(true);
      goOn.resolve(true);
      expect(await first).toMatchObject({ moved: 2, stopped: undefined });
      expect(await new DeadLetters({ backend: other }).redrive(dead)).toMatchObject({ moved: 0 });
      if (!name.startsWith('memory')) await other.close();
    });

    it('are discarded, or carried to another queue by a file', async () => {
      const { queue, dead } = await queues(backend);
      const bytes = new Uint8Array([0, 128, 255]);
      await fail(backend, queue, [
        { id: '1', message: { content: bytes } },
        { id: '2', message: { content: 'two\n"lines"', headers: { tenant: 'zürich', empty: '' } } },
        { id: '3', consumer: 'mailing' },
      ]);
      const lines: string[] = [];
      expect(await letters.export(dead, (line) => void lines.push(line))).toEqual({
        count: 3,
        isComplete: true,
      });
      expect(await letters.discard(dead, { filter: { consumer: 'mailing' } })).toEqual({
        count: 1,
        isComplete: true,
      });
      expect(await listed(dead)).toEqual(['1', '2']);
      const other = await queues(backend);
      expect(await letters.import(other.dead, lines)).toBe(3);
      const before = (await letters.list(dead)).letters.map(({ message: { id, ...rest } }) => [id, rest]);
      const after = (await letters.list(other.dead, { filter: { ids: ['1', '2'] } })).letters.map(
        ({ message: { id, ...rest } }) => [id, rest],
      );
      expect(Object.fromEntries(after)).toEqual(Object.fromEntries(before));
      expect(message('1').headers).toEqual({ tenant: 'acme' });
    });
  });
});
