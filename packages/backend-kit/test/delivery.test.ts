import type { Delivery } from '@melange/core';
import { describe, expect, it } from 'vitest';
import { settled } from '../../core/test/support/manual-clock.ts';
import { consuming, idsIn } from './support/consuming.ts';
import { Away, last, Missing, pass, scripted, watched } from './support/scripted-driver.ts';

describe('a delivery', () => {
  const one = async (options: Parameters<typeof consuming>[0] = {}, attempt = 1, redeliveries = 0) => {
    const all = await consuming(options);
    last(all.script.takes).resolve({ taken: [all.script.message(attempt, redeliveries)] });
    await settled();
    return { ...all, delivery: last(all.deliveries) };
  };

  it('says which attempt it is, and how often it was handed out before', async () => {
    const { delivery } = await one({}, 3, 2);
    expect(delivery).toMatchObject({ attempt: 3, redeliveries: 2 });
  });

  it('is settled once', async () => {
    const { delivery } = await one();
    void delivery.acknowledge();
    await expect(delivery.acknowledge()).rejects.toMatchObject({ code: 'DELIVERY_SETTLED' });
    await expect(delivery.retry()).rejects.toMatchObject({ code: 'DELIVERY_SETTLED' });
    await expect(delivery.deadLetter({ reason: 'test' })).rejects.toMatchObject({ code: 'DELIVERY_SETTLED' });
    await expect(delivery.release()).rejects.toMatchObject({ code: 'DELIVERY_SETTLED' });
  });

  it.each([
    ['failed', { attempt: 4, redeliveries: 0 }],
    ['deferred', { attempt: 3, redeliveries: 0 }],
    ['not-run', { attempt: 3, redeliveries: 2 }],
  ] as const)('that is retried because it %s comes again as %o', async (because, again) => {
    const { delivery, script } = await one({}, 3, 2);
    void delivery.retry({ delayMs: 7, because });
    await settled();
    expect(last(script.retried).argument.again).toEqual({ delayMs: 7, ...again });
  });

  it('refuses a delay that is no number, and stays open', async () => {
    const { delivery, script } = await one();
    await expect(delivery.retry({ delayMs: Number.NaN })).rejects.toMatchObject({ code: 'CONFIGURATION' });
    void delivery.retry();
    await settled();
    expect(script.retried).toHaveLength(1);
  });

  it('is dead-lettered as a copy that says why', async () => {
    const { delivery, script } = await one({}, 3);
    void delivery.deadLetter({ reason: 'rejected', error: new Error('no stock') });
    await settled();
    const { queue, copy } = last(script.deadLettered).argument;
    expect(queue).toBe('dead');
    expect(copy.headers).toMatchObject({
      melange_reason: 'rejected',
      melange_error_message: 'no stock',
      melange_attempts: '3',
      melange_source_queue: 'q',
    });
  });

  it('without a dead-letter queue stays open', async () => {
    const script = scripted().script;
    script.description = { exists: true, depth: 0, deadLetterQueue: undefined };
    const { delivery } = await one({ script });
    await expect(delivery.deadLetter({ reason: 'test' })).rejects.toMatchObject({ code: 'CONFIGURATION' });
    void delivery.release();
    await settled();
    expect(script.released).toHaveLength(1);
  });

  it('whose dead-letter queue is gone stays open, and health says so until a dead-lettering works', async () => {
    const { deliveries, script, backend } = await consuming();
    last(script.takes).resolve({ taken: script.messages(2) });
    await settled();
    const [first, second] = deliveries as [Delivery, Delivery];
    const settlement = watched(first.deadLetter({ reason: 'test' }));
    await settled();
    last(script.deadLettered).reject(new Missing());
    await settled();
    expect(settlement.outcome).toMatchObject({ code: 'CONFIGURATION' });
    const trouble = {
      status: 'degraded',
      detail: expect.stringMatching(
        /settling messages of queue "q" as dead letters .* its dead-letter queue "dead" does not exist/,
      ),
    };
    expect(await backend.health()).toMatchObject(trouble);
    void first.retry();
    await settled();
    last(script.retried).resolve();
    await settled();
    expect(await backend.health()).toMatchObject(trouble);
    void second.deadLetter({ reason: 'test' });
    await settled();
    last(script.deadLettered).resolve();
    await settled();
    expect(await backend.health()).toEqual({ status: 'healthy' });
  });

  it('whose dead-lettering failed shows in health for a minute where none is tried again', async () => {
    const { delivery, script, backend } = await one();
    delivery.deadLetter({ reason: 'test' }).catch(() => undefined);
    await settled();
    last(script.deadLettered).reject(new Missing());
    await pass(script, 59_000);
    expect((await backend.health()).status).toBe('unhealthy');
    await pass(script, 1_000);
    expect(await backend.health()).toEqual({ status: 'healthy' });
  });

  it('shares its acknowledgement with those that are done while another one is under way', async () => {
    const { script, deliveries } = await consuming();
    last(script.takes).resolve({ taken: script.messages(4) });
    await settled();
    const [first, ...others] = deliveries;
    const acknowledged = [watched(Promise.resolve(first?.acknowledge()))];
    await settled();
    for (const delivery of others) acknowledged.push(watched(Promise.resolve(delivery.acknowledge())));
    await settled();
    expect(script.acknowledged.map(({ argument }) => idsIn(argument))).toEqual([['m1']]);
    script.acknowledged[0]?.resolve(undefined);
    await settled();
    expect(script.acknowledged.map(({ argument }) => idsIn(argument))).toEqual([['m1'], ['m2', 'm3', 'm4']]);
    expect(acknowledged.map(({ outcome }) => outcome)).toEqual(['resolved', 'open', 'open', 'open']);
    script.acknowledged[1]?.resolve([undefined, new TypeError('refused'), undefined]);
    await pass(script, 1_000);
    // The broker does not answer to it: the settlement ends all the same.
    await pass(script, 2_000);
    expect(acknowledged.map(({ outcome }) => String(outcome))).toEqual([
      'resolved',
      'resolved',
      expect.stringContaining('MelangeError'),
      'resolved',
    ]);
    expect(idsIn(last(script.released).argument)).toEqual(['m3']);
  });

  it('whose settlement is refused goes back after a pause, and its settlement rejects', async () => {
    const { delivery, script } = await one();
    const settlement = watched(delivery.retry());
    await settled();
    last(script.retried).reject(new TypeError('refused'));
    await pass(script, 999);
    expect(script.released).toEqual([]);
    await pass(script, 1);
    expect(script.released).toHaveLength(1);
    last(script.released).resolve();
    await settled();
    expect(settlement.outcome).toBeInstanceOf(Error);
  });

  it('whose settlement is not answered for now is settled again', async () => {
    const { delivery, script } = await one();
    const settlement = watched(Promise.resolve(delivery.acknowledge()));
    await settled();
    last(script.acknowledged).reject(new Away('reset'));
    await pass(script, 100);
    expect(script.acknowledged).toHaveLength(2);
    last(script.acknowledged).resolve(undefined);
    await settled();
    expect(settlement.outcome).toBe('resolved');
  });
});
