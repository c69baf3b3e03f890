import type { Delivery } from '@melange/core';
import { describe, expect, it } from 'vitest';
import { settled } from '../../core/test/support/manual-clock.ts';
import { consuming } from './support/consuming.ts';
import { Away, last, pass, watched } from './support/scripted-driver.ts';

describe('a lease', () => {
  const leased = async () => {
    const all = await consuming({ leaseMs: 600 });
    last(all.script.takes).resolve({ taken: all.script.messages(1) });
    await settled();
    return { ...all, delivery: last(all.deliveries) };
  };

  it('is renewed beyond its first end, also while the subscription closes', async () => {
    const { script, delivery, subscription } = await leased();
    void subscription.close();
    for (let round = 1; round <= 4; round += 1) {
      await pass(script, 200);
      expect(script.renewed).toHaveLength(round);
      last(script.renewed).resolve([]);
    }
    await pass(script, 100);
    expect(delivery.isAborted).toBe(false);
  });

  it('counts from before the request that renewed it', async () => {
    const { script, delivery } = await leased();
    await pass(script, 200);
    await pass(script, 300);
    last(script.renewed).resolve([]);
    // Renewed at 200, answered at 500: it ends at 800.
    await pass(script, 100);
    expect(script.renewed).toHaveLength(2);
    await pass(script, 199);
    expect(delivery.isAborted).toBe(false);
    await pass(script, 1);
    expect(delivery.isAborted).toBe(true);
  });

  it('that the broker took back is lost: the signal is aborted, a settlement does nothing, the room is free', async () => {
    const { script, delivery } = await leased();
    const { signal } = delivery;
    await pass(script, 200);
    last(script.renewed).resolve(last(script.renewed).argument);
    await settled();
    expect(signal.reason).toMatchObject({ reason: 'lease-lost' });
    await delivery.acknowledge();
    await delivery.retry();
    await settled();
    expect(script.acknowledged).toEqual([]);
    expect(script.retried).toEqual([]);
  });

  it('is lost at its end when renewing is never answered', async () => {
    const { script, delivery } = await leased();
    await pass(script, 599);
    expect(delivery.isAborted).toBe(false);
    await pass(script, 1);
    expect(delivery.isAborted).toBe(true);
  });

  it('is kept through a renewal that failed, while it lasts', async () => {
    const { script, delivery } = await leased();
    await pass(script, 200);
    last(script.renewed).reject(new Away('reset'));
    await pass(script, 100);
    last(script.renewed).resolve([]);
    await pass(script, 350);
    expect(delivery.isAborted).toBe(false);
  });

  it('ends the repeating of a settlement, which then means nothing', async () => {
    const { script, delivery } = await leased();
    const settlement = watched(Promise.resolve(delivery.acknowledge()));
    await settled();
    for (let time = 0; time < 700; time += 50) {
      last(script.acknowledged).reject(new Away('reset'));
      await pass(script, 50);
    }
    expect(settlement.outcome).toBe('resolved');
    const tries = script.acknowledged.length;
    await pass(script, 10_000);
    expect(script.acknowledged).toHaveLength(tries);
  });

  it('that is lost while its settlement is under way lets the settlement end without an error', async () => {
    const { script, delivery } = await leased();
    const settlement = watched(Promise.resolve(delivery.acknowledge()));
    await pass(script, 600);
    last(script.acknowledged).reject(new TypeError('not yours'));
    await settled();
    expect(settlement.outcome).toBe('resolved');
  });

  it('counts from the last two looks where the request waited for long at the broker', async () => {
    const { script, deliveries } = await consuming({ leaseMs: 600 });
    await pass(script, 5_000);
    last(script.takes).resolve({ taken: script.messages(1) });
    await settled();
    expect(deliveries).toHaveLength(1);
    // Looked at 4,800 and 4,900, and not renewed.
    await pass(script, 399);
    expect(last(deliveries).isAborted).toBe(false);
    await pass(script, 101);
    expect(last(deliveries).isAborted).toBe(true);
    expect(script.lost).toHaveLength(1);
  });

  it('that ended before its message could be handed over is not handed over', async () => {
    const { script, deliveries } = await consuming({ leaseMs: 600 });
    await pass(script, 1_000);
    const [over, held] = script.messages(2);
    const now = script.clock.monotonicNow();
    const answer = {
      taken: [
        { ...over, leasedAt: now - 600 },
        { ...held, leasedAt: now - 100 },
      ] as never,
    };
    last(script.takes).resolve(answer);
    await settled();
    expect(deliveries.map(({ message }) => message.id)).toEqual([held?.message.id]);
    expect(script.lost.map(({ place }) => place)).toEqual([over?.place]);
    // The room of the lost one is asked for again.
    expect(last(script.takes).argument).toBe(4);
  });

  it('is renewed with as many others as the driver says, and a renewal that fails fails for those alone', async () => {
    const { script, deliveries } = await consuming({ leaseMs: 600, maxPerRenewal: 2 });
    last(script.takes).resolve({ taken: script.messages(3) });
    await settled();
    await pass(script, 200);
    expect(script.renewed.map(({ argument }) => argument.length)).toEqual([2, 1]);
    script.renewed[0]?.resolve([]);
    script.renewed[1]?.reject(new Away('reset'));
    await settled();
    for (let time = 200; time < 600; time += 100) await pass(script, 100);
    expect(deliveries.map(({ isAborted }) => isAborted)).toEqual([false, false, true]);
  });

  it('lasts for as long as before where the driver says that it failed, and no other one', async () => {
    const { script, deliveries } = await consuming({ leaseMs: 600 });
    const [failing, kept] = script.messages(2);
    last(script.takes).resolve({ taken: [failing, kept] as never });
    await settled();
    await pass(script, 200);
    const failed = { lost: [], failed: [failing] as never, reason: 'held for too long' };
    last(script.renewed).resolve(failed);
    await settled();
    await pass(script, 399);
    expect(deliveries.map(({ isAborted }) => isAborted)).toEqual([false, false]);
    const [{ signal }] = deliveries as [Delivery];
    await pass(script, 1);
    expect(deliveries.map(({ isAborted }) => isAborted)).toEqual([true, false]);
    expect(signal.reason).toMatchObject({ message: expect.stringContaining('held for too long') });
  });

  it('leaves no timer behind', async () => {
    const { script, delivery, subscription } = await leased();
    void delivery.acknowledge();
    void subscription.close();
    await settled();
    last(script.acknowledged).resolve(undefined);
    last(script.takes).resolve({ taken: [] });
    await settled();
    expect(script.clock.pending).toBe(0);
  });
});
