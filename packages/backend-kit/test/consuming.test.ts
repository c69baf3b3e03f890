import type { Delivery, Subscription } from '@melange/core';
import { describe, expect, it } from 'vitest';
import { settled } from '../../core/test/support/manual-clock.ts';
import {
  Away,
  last,
  Missing,
  pass,
  type Script,
  type ScriptedOptions,
  scripted,
  watched,
} from './support/scripted-driver.ts';

interface Consuming {
  readonly script: Script;
  readonly backend: ReturnType<typeof scripted>['backend'];
  readonly subscription: Subscription;
  readonly deliveries: Delivery[];
}

/** A subscription whose first request for messages is under way. */
async function consuming(
  options: Partial<ScriptedOptions> & {
    readonly maxInFlight?: number;
    readonly untilEmpty?: boolean;
    readonly receive?: (delivery: Delivery) => void;
  } = {},
): Promise<Consuming> {
  const { maxInFlight = 5, untilEmpty = false, receive, ...rest } = options;
  const { backend, script } = scripted(rest);
  const deliveries: Delivery[] = [];
  const subscription = await backend.subscribe('q', { maxInFlight, untilEmpty }, (delivery) => {
    deliveries.push(delivery);
    receive?.(delivery);
  });
  await pass(script, 0);
  return { script, backend, subscription, deliveries };
}

const idsOf = (deliveries: readonly Delivery[]): string[] => deliveries.map(({ message }) => message.id);
const idsIn = (batch: readonly { readonly message: { readonly id: string } }[]): string[] =>
  batch.map(({ message }) => message.id);

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

  it('whose dead-letter queue is gone stays open, and health says so', async () => {
    const { delivery, script, backend } = await one();
    const settlement = watched(delivery.deadLetter({ reason: 'test' }));
    await settled();
    last(script.deadLettered).reject(new Missing());
    await settled();
    expect(settlement.outcome).toMatchObject({ code: 'CONFIGURATION' });
    expect(await backend.health()).toMatchObject({
      status: 'degraded',
      detail: expect.stringContaining('settling'),
    });
    void delivery.retry();
    await settled();
    last(script.retried).resolve();
    await settled();
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
    last(script.released).resolve();
    last(script.takes).resolve({ taken: [] });
    await settled();
    expect(close.outcome).toBe('open');
    last(script.acknowledged).resolve(undefined);
    await settled();
    expect(close.outcome).toBe('resolved');
    await deliveries[0]?.acknowledge();
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

describe('an intake that the broker fills', () => {
  const pushed = async (options: { readonly untilEmpty?: boolean } = {}) => {
    const { backend, script } = scripted({ isPush: true });
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
