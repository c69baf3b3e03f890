import type { Delivery } from '@melange/core';
import { describe, expect, it } from 'vitest';
import { settled } from '../../core/test/support/manual-clock.ts';
import { idsIn, idsOf } from './support/consuming.ts';
import { Away, last, pass, type Scripted, scripted, watched } from './support/scripted-driver.ts';

describe('an intake that the broker fills', () => {
  const pushed = async ({
    finishes = false,
    ...options
  }: {
    untilEmpty?: boolean;
    finishes?: boolean;
  } = {}) => {
    const { backend, script } = scripted({ isPush: true, finishes });
    const deliveries: Delivery[] = [];
    const subscribing = backend.subscribe(
      'q',
      { maxInFlight: 5, ...options },
      (delivery) => void deliveries.push(delivery),
    );
    await settled();
    return { backend, script, deliveries, subscribing };
  };

  it('hands over nothing before subscribe has resolved', async () => {
    const { script, deliveries, subscribing } = await pushed();
    let isSubscribed = false;
    last(script.opened).argument.deliver(script.message());
    last(script.opened).resolve();
    const subscription = await subscribing;
    isSubscribed = deliveries.length === 0;
    await pass(script, 0);
    expect(isSubscribed).toBe(true);
    expect(idsOf(deliveries)).toEqual(['m1']);
    expect(subscription).toBeDefined();
  });

  it('begins without time having to pass', async () => {
    const { script, deliveries, subscribing } = await pushed();
    last(script.opened).resolve();
    await subscribing;
    last(script.opened).argument.deliver(script.message());
    await settled();
    expect(idsOf(deliveries)).toEqual(['m1']);
  });

  it('until empty hands over what came before subscribe has resolved, and then ends', async () => {
    const { script, deliveries, subscribing } = await pushed({ untilEmpty: true });
    const { argument: intake } = last(script.opened);
    intake.deliver(script.message());
    intake.deliver(script.message());
    intake.empty();
    last(script.opened).resolve();
    const subscription = await subscribing;
    await subscription.ended;
    expect(idsOf(deliveries)).toEqual(['m1', 'm2']);
    expect(script.released).toEqual([]);
  });

  it('may take messages back: their deliveries are lost, the others stay', async () => {
    const { script, deliveries, subscribing } = await pushed();
    const { argument: intake } = last(script.opened);
    last(script.opened).resolve();
    const subscription = await subscribing;
    await settled();
    const [first, second, third] = script.messages(3);
    for (const taken of [first, second, third]) intake.deliver(taken as Scripted);
    intake.takenBack([first as Scripted, third as Scripted], 'silent for too long');
    expect(deliveries.map(({ signal }) => signal.reason?.reason)).toEqual([
      'lease-lost',
      undefined,
      'lease-lost',
    ]);
    expect(deliveries[0]?.signal.reason.message).toContain('silent for too long');
    await deliveries[0]?.acknowledge();
    expect(script.acknowledged).toEqual([]);
    const closed = watched(subscription.close());
    await settled();
    expect(closed.outcome).toBe('open');
    void deliveries[1]?.acknowledge();
    await settled();
    last(script.acknowledged).resolve(undefined);
    await settled();
    expect(closed.outcome).toBe('resolved');
  });

  it('that is lost loses its deliveries, and is opened again', async () => {
    const { script, deliveries, subscribing, backend } = await pushed();
    const first = last(script.opened);
    first.resolve();
    await subscribing;
    await pass(script, 0);
    first.argument.deliver(script.message());
    const { signal } = last(deliveries);
    first.argument.lost(new Away('reset'));
    expect(signal.reason).toMatchObject({ reason: 'connection-lost' });
    await last(deliveries).acknowledge();
    expect((await backend.health()).status).toBe('degraded');
    await pass(script, 100);
    expect(script.opened).toHaveLength(2);
    // A message of the old intake that comes late.
    first.argument.deliver(script.message());
    last(script.opened).resolve();
    await settled();
    last(script.opened).argument.deliver(script.message());
    expect(idsOf(deliveries)).toEqual(['m1', 'm3']);
    expect((await backend.health()).status).toBe('healthy');
  });

  it('loses some of its deliveries, and goes on: they are aborted, and settling them does nothing', async () => {
    const { script, deliveries, subscribing } = await pushed();
    const { argument: intake } = last(script.opened);
    last(script.opened).resolve();
    await subscribing;
    await pass(script, 0);
    const [first, second] = [script.message(), script.message()];
    for (const one of [first, second]) intake.deliver(one);
    const signals = deliveries.map(({ signal }) => signal);
    intake.takenBack([first], 'The group gave the partition to another member.', 'partition-revoked');
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, false]);
    expect(signals[0]?.reason).toMatchObject({ reason: 'partition-revoked' });
    for (const delivery of deliveries) void delivery.acknowledge();
    await settled();
    expect(idsIn(last(script.acknowledged).argument)).toEqual(['m2']);
    expect(script.opened).toHaveLength(1);
  });

  it('gives back what comes after the close', async () => {
    const { script, deliveries, subscribing } = await pushed();
    last(script.opened).resolve();
    const subscription = await subscribing;
    await pass(script, 0);
    await subscription.close();
    last(script.opened).argument.deliver(script.message());
    await settled();
    expect(deliveries).toEqual([]);
    expect(idsIn(last(script.released).argument)).toEqual(['m1']);
  });

  it('is stopped before it gives back what was not handed over: it would come again at once', async () => {
    const { script, deliveries, subscribing } = await pushed();
    last(script.opened).resolve();
    last(script.opened).argument.deliver(script.message());
    const subscription = await subscribing;
    void subscription.close();
    await settled();
    expect(deliveries).toEqual([]);
    expect(script.releasedAtStop).toEqual([0]);
    expect(script.released).toHaveLength(1);
  });

  it('has a delivery until its acknowledgement is on its way, where that has no answer', async () => {
    const { script, deliveries, subscribing } = await pushed({ finishes: true });
    last(script.opened).resolve();
    const subscription = await subscribing;
    await settled();
    last(script.opened).argument.deliver(script.message());
    const acknowledged = watched(Promise.resolve(deliveries[0]?.acknowledge()));
    const closed = watched(subscription.close());
    await settled();
    expect([acknowledged.outcome, closed.outcome]).toEqual(['open', 'open']);
    last(script.finished).resolve();
    await settled();
    expect([acknowledged.outcome, closed.outcome]).toEqual(['resolved', 'resolved']);
  });

  it('ends with untilEmpty when the driver says that the queue is empty', async () => {
    const { script, subscribing } = await pushed({ untilEmpty: true });
    last(script.opened).resolve();
    const ended = watched((await subscribing).ended);
    await pass(script, 0);
    expect(ended.outcome).toBe('open');
    last(script.opened).argument.empty();
    await settled();
    expect(ended.outcome).toBe('resolved');
  });
});
