import type { Delivery } from '@melange/core';
import { describe, expect, it } from 'vitest';
import { settled } from '../../core/test/support/manual-clock.ts';
import { consuming, idsIn, idsOf } from './support/consuming.ts';
import { last, Missing, pass, scripted, watched } from './support/scripted-driver.ts';

describe('a subscription', () => {
  it.each([0, -1, 1.5, Number.NaN])('refuses maxInFlight of %s', async (maxInFlight) => {
    const { backend } = scripted();
    await expect(backend.subscribe('q', { maxInFlight }, () => undefined)).rejects.toMatchObject({
      code: 'CONFIGURATION',
    });
  });

  it('of a queue that does not exist is refused', async () => {
    const { backend, script } = scripted();
    script.description = { exists: false, depth: 0, deadLetterQueue: undefined };
    await expect(backend.subscribe('q', { maxInFlight: 1 }, () => undefined)).rejects.toMatchObject({
      code: 'QUEUE_NOT_FOUND',
    });
  });

  it('asks for as many messages as there is room for, and never hands over more', async () => {
    const { script, deliveries } = await consuming();
    expect(last(script.takes).argument).toBe(5);
    last(script.takes).resolve({ taken: script.messages(2) });
    await settled();
    expect(deliveries).toHaveLength(2);
    expect(last(script.takes).argument).toBe(3);
    last(script.takes).resolve({ taken: script.messages(3) });
    await settled();
    expect(script.takes).toHaveLength(2);
  });

  it('asks for more before it hands over an answer that was full, and counts its messages in', async () => {
    const { script, deliveries } = await consuming({ maxInFlight: 5, source: { maxMessagesPerTake: 3 } });
    let heldThen: readonly string[] = [];
    let handedOverThen = -1;
    script.onTake = () => {
      heldThen = idsIn(script.intake?.held() ?? []);
      handedOverThen = deliveries.length;
    };
    last(script.takes).resolve({ taken: script.messages(3) });
    await settled();
    expect(script.takes.map(({ argument }) => argument)).toEqual([3, 2]);
    expect({ handedOverThen, heldThen }).toEqual({ handedOverThen: 0, heldThen: ['m1', 'm2', 'm3'] });
    expect(idsIn(script.intake?.held() ?? []).toSorted()).toEqual(['m1', 'm2', 'm3']);
    last(script.takes).resolve({ taken: script.messages(2) });
    await settled();
    expect(deliveries).toHaveLength(5);
    expect(script.takes).toHaveLength(2);
  });

  it('asks by one request for the room that settlements of one answer make', async () => {
    const { script, deliveries } = await consuming({ maxInFlight: 3 });
    last(script.takes).resolve({ taken: script.messages(3) });
    await settled();
    for (const delivery of deliveries) void delivery.acknowledge();
    await settled();
    last(script.acknowledged).resolve(undefined);
    await settled();
    expect(script.takes.map(({ argument }) => argument)).toEqual([3, 3]);
  });

  it('has room again only when the broker has answered the settlement', async () => {
    const { script, deliveries } = await consuming({ maxInFlight: 1 });
    last(script.takes).resolve({ taken: script.messages(1) });
    await settled();
    void deliveries[0]?.acknowledge();
    await settled();
    expect(script.takes).toHaveLength(1);
    last(script.acknowledged).resolve(undefined);
    await settled();
    expect(script.takes).toHaveLength(2);
  });

  it('asks by several requests at once where the driver says so, for no more than there is room', async () => {
    const { script } = await consuming({ maxTakes: 3, maxInFlight: 4 });
    expect(script.takes.map(({ argument }) => argument)).toEqual([4]);
    last(script.takes).resolve({ taken: script.messages(1) });
    await settled();
    expect(script.takes.map(({ argument }) => argument)).toEqual([4, 3]);
  });

  it('waits before it asks again as long as the driver says, and no longer than until it is woken', async () => {
    const { script } = await consuming();
    last(script.takes).resolve({ taken: [], nextMs: 100 });
    await pass(script, 99);
    expect(script.takes).toHaveLength(1);
    await pass(script, 1);
    expect(script.takes).toHaveLength(2);
    last(script.takes).resolve({ taken: [], nextMs: 100 });
    await settled();
    script.wake();
    await settled();
    expect(script.takes).toHaveLength(3);
  });

  it('does not miss a wake-up that comes while it asks', async () => {
    const { script } = await consuming();
    script.wake();
    last(script.takes).resolve({ taken: [], nextMs: 100 });
    await settled();
    expect(script.takes).toHaveLength(2);
  });

  it('ends with untilEmpty when the queue is empty', async () => {
    const { script, subscription, deliveries } = await consuming({ untilEmpty: true });
    const ended = watched(subscription.ended);
    last(script.takes).resolve({ taken: script.messages(1) });
    await settled();
    expect(ended.outcome).toBe('open');
    last(script.takes).resolve({ taken: [] });
    await settled();
    expect(ended.outcome).toBe('resolved');
    expect(deliveries).toHaveLength(1);
  });

  it('waits for a queue that was deleted until it is declared again, with one line at each end', async () => {
    const { script, backend, deliveries } = await consuming();
    last(script.takes).reject(new Missing());
    await settled();
    expect(await backend.health()).toMatchObject({
      status: 'degraded',
      detail: expect.stringContaining('declare it again'),
    });
    await pass(script, 100);
    last(script.takes).reject(new Missing());
    await pass(script, 200);
    last(script.takes).resolve({ taken: script.messages(1) });
    await settled();
    expect(deliveries).toHaveLength(1);
    expect(await backend.health()).toEqual({ status: 'healthy' });
    expect(script.lines).toEqual([
      'warn trouble receiving from queue "q"',
      'info recovered from trouble receiving from queue "q"',
    ]);
  });

  it('with untilEmpty of a queue that was deleted ends in that error', async () => {
    const { script, subscription } = await consuming({ untilEmpty: true });
    const ended = watched(subscription.ended);
    last(script.takes).reject(new Missing());
    await settled();
    expect(ended.outcome).toMatchObject({ code: 'QUEUE_NOT_FOUND' });
  });

  it('keeps the message of a receiver that threw for a second, asks for others meanwhile, and gives it back', async () => {
    const thrown = new Error('receiver');
    const { script } = await consuming({
      receive: () => {
        throw thrown;
      },
    });
    last(script.takes).resolve({ taken: script.messages(1) });
    await pass(script, 999);
    expect(script.takes).toHaveLength(2);
    expect(script.released).toEqual([]);
    await pass(script, 1);
    expect(idsIn(last(script.released).argument)).toEqual(['m1']);
    last(script.released).resolve();
    await settled();
    expect(script.takes).toHaveLength(2);
  });

  it('that a receiver settled before it threw stays settled', async () => {
    const { script } = await consuming({
      receive: (delivery) => {
        void delivery.acknowledge();
        throw new Error('receiver');
      },
    });
    last(script.takes).resolve({ taken: script.messages(1) });
    await settled();
    last(script.acknowledged).resolve(undefined);
    await pass(script, 5_000);
    expect(script.released).toEqual([]);
  });
});

describe('closing a subscription', () => {
  it('stops in the same turn, gives back what arrives later, and resolves when all is settled', async () => {
    const { script, subscription, deliveries } = await consuming();
    last(script.takes).resolve({ taken: script.messages(1) });
    await settled();
    const late = last(script.takes);
    const close = watched(subscription.close());
    expect(late.signal?.aborted).toBe(true);
    late.resolve({ taken: script.messages(2) });
    await settled();
    expect(idsOf(deliveries)).toEqual(['m1']);
    expect(idsIn(last(script.released).argument)).toEqual(['m2', 'm3']);
    expect(close.outcome).toBe('open');
    void deliveries[0]?.acknowledge();
    await settled();
    last(script.acknowledged).resolve(undefined);
    await settled();
    expect(close.outcome).toBe('resolved');
  });

  it('inside of receive hands over nothing more of that answer', async () => {
    let close: (() => unknown) | undefined;
    const { script, subscription, deliveries } = await consuming({ receive: () => void close?.() });
    close = () => subscription.close();
    last(script.takes).resolve({ taken: script.messages(3) });
    await settled();
    expect(idsOf(deliveries)).toEqual(['m1']);
    expect(idsIn(last(script.released).argument)).toEqual(['m2', 'm3']);
  });

  it('twice resolves both times, and resolves `ended`', async () => {
    const { script, subscription } = await consuming();
    const closes = [
      watched(subscription.close()),
      watched(subscription.close()),
      watched(subscription.ended),
    ];
    last(script.takes).resolve({ taken: [] });
    await settled();
    expect(closes.map(({ outcome }) => outcome)).toEqual(['resolved', 'resolved', 'resolved']);
  });

  it('ends its trouble', async () => {
    const { script, backend, subscription } = await consuming();
    last(script.takes).reject(new Missing());
    await settled();
    await subscription.close();
    expect(await backend.health()).toEqual({ status: 'healthy' });
    expect(script.clock.pending).toBe(0);
  });
});

describe('closing the backend', () => {
  it('takes open deliveries from their handlers and gives them back together, in order', async () => {
    const { script, backend, deliveries } = await consuming();
    last(script.takes).resolve({ taken: script.messages(3) });
    await settled();
    const signals = deliveries.map(({ signal }) => signal);
    void deliveries[1]?.acknowledge();
    const close = watched(backend.close());
    await settled();
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, false, true]);
    expect(signals[0]?.reason).toMatchObject({ reason: 'shutdown' });
    expect(script.released.map(({ argument }) => idsIn(argument))).toEqual([['m1', 'm3']]);
    // Their handlers may end the process, next time as well: the broker counts this one.
    expect(script.wereRunning).toEqual([true]);
    last(script.released).resolve();
    last(script.takes).resolve({ taken: [] });
    await settled();
    expect(close.outcome).toBe('open');
    last(script.acknowledged).resolve(undefined);
    await settled();
    expect(close.outcome).toBe('resolved');
    await deliveries[0]?.acknowledge();
  });

  it('tells the driver that no handler ran when a delivery is released', async () => {
    const { script, deliveries } = await consuming();
    last(script.takes).resolve({ taken: script.messages(1) });
    await settled();
    void deliveries[0]?.release();
    await settled();
    expect(script.wereRunning).toEqual([false]);
  });

  it('tells the driver which messages have no answer to their settlement, and takes from handlers the ones that are gone', async () => {
    const { script, deliveries } = await consuming();
    last(script.takes).resolve({ taken: script.messages(3) });
    await settled();
    void deliveries[0]?.acknowledge();
    void deliveries[1]?.acknowledge();
    await settled();
    expect(idsIn(script.intake?.held() ?? []).toSorted()).toEqual(['m1', 'm2', 'm3']);
    last(script.acknowledged).resolve(undefined);
    await settled();
    expect(idsIn(script.intake?.held() ?? [])).toEqual(['m3']);
    const { signal } = deliveries[2] as Delivery;
    script.intake?.takenBack(script.intake.held(), 'Its queue was deleted.');
    expect(signal.reason).toMatchObject({
      reason: 'lease-lost',
      message: expect.stringContaining('deleted'),
    });
    expect(script.intake?.held()).toEqual([]);
  });

  it('does not wait for a driver that never answers', async () => {
    const { script, backend } = await consuming();
    last(script.takes).resolve({ taken: script.messages(1) });
    await settled();
    const close = watched(backend.close());
    await pass(script, 2_000);
    expect(close.outcome).toBe('resolved');
  });
});
