import { type Delivery, MelangeError } from '@melange/core';
import { describe, expect, test } from 'vitest';
import { entriesOf, failEntries, refusal } from './support/http-proxy.ts';
import {
  backendAt,
  drain,
  eventually,
  isMissing,
  numbered,
  receive,
  sharedUrl,
  throughProxy,
  uniqueName,
} from './support/scene.ts';

const url = sharedUrl as string;

describe.skipIf(isMissing)('receiving (skipped without SQS_URL)', () => {
  test('keeps what is unsettled out of sight beyond its visibility, also while closing, extending ten in a request', async () => {
    const { backend, proxy } = await throughProxy({ visibilityTimeoutSeconds: 2 });
    const queue = uniqueName();
    await backend.declareQueue(queue);
    await backend.publishToQueue(queue, numbered(20));
    const holders = [await receive(backend, queue), await receive(backend, queue)];
    const held = () => holders.flatMap(({ deliveries }) => deliveries);
    await eventually(() => expect(held()).toHaveLength(20));
    const closed = holders[0]?.subscription.close();
    const other = await receive(backendAt(url, { visibilityTimeoutSeconds: 2 }), queue, { maxInFlight: 20 });
    await new Promise((resolve) => setTimeout(resolve, 3_500));
    expect(other.deliveries).toEqual([]);
    expect(held().every(({ signal }) => !signal.aborted)).toBe(true);
    const sizes = proxy.calls
      .filter(({ action }) => action === 'ChangeMessageVisibilityBatch')
      .map((call) => entriesOf(call).length);
    expect(sizes.length).toBeGreaterThanOrEqual(4);
    expect(sizes.every((size) => size === 10)).toBe(true);
    await Promise.all(held().map((delivery) => delivery.acknowledge()));
    await closed;
    expect(await backend.describeQueue(queue)).toMatchObject({ depth: 0 });
  });

  test('a lost visibility aborts the signal; settling then does nothing, and the message comes again', async () => {
    const { backend, proxy } = await throughProxy({ visibilityTimeoutSeconds: 2 });
    const queue = uniqueName();
    await backend.declareQueue(queue);
    await backend.publishToQueue(queue, numbered(1));
    let isLosing = true;
    proxy.interfere = (call) =>
      isLosing && call.action === 'ChangeMessageVisibilityBatch'
        ? failEntries(call, () => true, { Code: 'ReceiptHandleIsInvalid', SenderFault: true })
        : undefined;
    const { deliveries } = await receive(backend, queue);
    await eventually(() => expect(deliveries).toHaveLength(1));
    const { signal } = deliveries[0] ?? {};
    await eventually(() => expect(signal?.aborted).toBe(true));
    expect(MelangeError.is(signal?.reason, 'DELIVERY_ABORTED') && signal?.reason).toMatchObject({
      reason: 'lease-lost',
    });
    isLosing = false;
    await deliveries[0]?.acknowledge();
    expect(proxy.count('DeleteMessageBatch')).toBe(0);
    await eventually(() => expect(deliveries).toHaveLength(2));
    expect(deliveries[1]?.attempt).toBe(2);
    await deliveries[1]?.acknowledge();
  });

  test.each(['subscription', 'backend'] as const)(
    'closing the %s in the middle of a long poll is quick, and what the poll still brings goes back at once',
    async (what) => {
      const backend = backendAt(url, { visibilityTimeoutSeconds: 60 });
      const queue = uniqueName();
      await backend.declareQueue(queue);
      const closing = await receive(backend, queue);
      // The emulator gives messages to the poll that came first: this one, which is over for us.
      await new Promise((resolve) => setTimeout(resolve, 100));
      const from = performance.now();
      await (what === 'backend' ? backend.close() : closing.subscription.close());
      // The poll lasts for 20 s.
      expect(performance.now() - from).toBeLessThan(5_000);
      const other = backendAt(url);
      await other.publishToQueue(queue, numbered(10));
      const { contents } = await receive(other, queue, { maxInFlight: 100 }, (delivery) =>
        delivery.acknowledge(),
      );
      await eventually(() => expect(new Set(contents()).size).toBe(10));
      expect(closing.deliveries).toEqual([]);
    },
  );

  test('several receives at once fill what one cannot', async () => {
    const { backend, proxy } = await throughProxy();
    const queue = uniqueName();
    await backend.declareQueue(queue);
    await backend.publishToQueue(queue, numbered(100));
    const { deliveries } = await receive(backend, queue, { maxInFlight: 100 });
    await eventually(() => expect(deliveries).toHaveLength(100));
    expect(proxy.count('ReceiveMessage')).toBe(10);
    await Promise.all(deliveries.map((delivery) => delivery.acknowledge()));
  });

  test('several receives wait at once for what there is room for', async () => {
    const { backend, proxy } = await throughProxy();
    const queue = uniqueName();
    await backend.declareQueue(queue);
    await backend.publishToQueue(queue, numbered(60));
    const { deliveries } = await receive(backend, queue, { maxInFlight: 100 });
    await eventually(() => expect(deliveries).toHaveLength(60));
    // Six brought those; four wait for the forty that there is room for.
    await eventually(() => expect(proxy.count('ReceiveMessage')).toBe(10));
    await Promise.all(deliveries.map((delivery) => delivery.acknowledge()));
  });

  test('failures are waited out: it says so, and goes on by itself', async () => {
    const warnings: string[] = [];
    const ignore = (): void => undefined;
    const logger = {
      debug: ignore,
      info: ignore,
      error: ignore,
      warn: (text: string) => void warnings.push(text),
    };
    const { backend, proxy } = await throughProxy({ logger });
    const queue = uniqueName();
    await backend.declareQueue(queue);
    const answers = [
      refusal('AccessDeniedException', 403),
      refusal('InternalError', 500),
      { status: 200, body: 'no JSON' },
    ];
    proxy.interfere = ({ action }) => {
      if (action !== 'ReceiveMessage') return undefined;
      const refuse = answers.shift();
      return refuse === undefined ? undefined : { refuse };
    };
    const { deliveries } = await receive(backend, queue);
    await eventually(async () => {
      expect(await backend.health()).toMatchObject({
        status: 'degraded',
        detail: expect.stringMatching(/./),
      });
    });
    await eventually(async () => expect(await backend.health()).toEqual({ status: 'healthy' }));
    expect(warnings).toEqual([`trouble receiving from queue "${queue}"`]);
    await backend.publishToQueue(queue, numbered(1));
    await eventually(() => expect(deliveries).toHaveLength(1));
    await deliveries[0]?.acknowledge();
  });

  test('a logger that throws ends nothing', async () => {
    const fail = (): never => {
      throw new Error('the log is full');
    };
    const logger = { debug: fail, info: fail, warn: fail, error: fail };
    const { backend, proxy } = await throughProxy({ logger });
    const queue = uniqueName();
    await backend.declareQueue(queue);
    let refusals = 2;
    proxy.interfere = ({ action }) => {
      if (action !== 'ReceiveMessage' || refusals === 0) return undefined;
      refusals -= 1;
      return { refuse: refusal('InternalError', 500) };
    };
    const { deliveries } = await receive(backend, queue);
    await backend.publishToQueue(queue, numbered(1));
    await eventually(() => expect(deliveries).toHaveLength(1));
    await deliveries[0]?.acknowledge();
  });

  test('a queue deleted under a subscription shows in health, and is received from when it is back', async () => {
    const [backend, other] = [backendAt(url, { waitTimeSeconds: 1 }), backendAt(url)];
    const queue = uniqueName();
    await backend.declareQueue(queue);
    const { deliveries } = await receive(backend, queue);
    await other.deleteQueue(queue);
    await eventually(async () => expect((await backend.health()).status).toBe('degraded'));
    await other.declareQueue(queue);
    await other.publishToQueue(queue, numbered(1));
    await eventually(() => expect(deliveries).toHaveLength(1));
    await deliveries[0]?.acknowledge();
    expect((await backend.health()).status).toBe('healthy');
  });

  test('a delivery that nobody else can join is deleted without waiting for company', async () => {
    const backend = backendAt(url, { acknowledgeLingerMs: 60_000 });
    const queue = uniqueName();
    await backend.declareQueue(queue);
    await backend.publishToQueue(queue, numbered(5));
    let acknowledged = 0;
    await receive(backend, queue, { maxInFlight: 1 }, async (delivery) => {
      await delivery.acknowledge();
      acknowledged += 1;
    });
    await eventually(() => expect(acknowledged).toBe(5));
  });

  test('a receiver that throws loses nothing, and gets the message again after a pause, as the same attempt', async () => {
    const backend = backendAt(url);
    const queue = uniqueName();
    await backend.declareQueue(queue);
    await backend.publishToQueue(queue, numbered(1));
    const seen: [attempt: number, at: number][] = [];
    await backend.subscribe(queue, { maxInFlight: 1 }, (delivery) => {
      seen.push([delivery.attempt, performance.now()]);
      if (seen.length === 1) throw new Error('thrown by the test');
      void delivery.acknowledge();
    });
    await eventually(() => expect(seen).toHaveLength(2));
    expect(seen.map(([attempt]) => attempt)).toEqual([1, 1]);
    expect((seen[1]?.[1] ?? 0) - (seen[0]?.[1] ?? 0)).toBeGreaterThan(900);
    await eventually(async () => expect(await drain(backend, queue)).toEqual([]));
  });

  test('what is only given back, waits or is deferred is the same attempt, in this process', async () => {
    const backend = backendAt(url);
    const queue = uniqueName();
    await backend.declareQueue(queue);
    await backend.publishToQueue(queue, numbered(1));
    const ways: ((delivery: Delivery) => Promise<void>)[] = [
      (delivery) => delivery.release(),
      (delivery) => delivery.retry({ because: 'not-run' }),
      (delivery) => delivery.retry({ because: 'deferred', delayMs: 50 }),
      (delivery) => delivery.retry(),
      (delivery) => delivery.release(),
      (delivery) => delivery.retry({ because: 'deferred' }),
      async (delivery) => delivery.acknowledge(),
    ];
    const { deliveries } = await receive(backend, queue, {}, (delivery) => ways.shift()?.(delivery));
    await eventually(() => expect(deliveries).toHaveLength(7));
    expect(deliveries.map(({ attempt }) => attempt)).toEqual([1, 1, 1, 1, 2, 2, 2]);
    expect(new Set(deliveries.map(({ redeliveries }) => redeliveries))).toEqual(new Set([0]));
    await eventually(async () =>
      expect(await backend.describeQueue(queue)).toMatchObject({ depth: 0, inFlight: 0 }),
    );
  });

  test('what was deferred beyond what is kept here, and at a close, goes back for what is left of its time', async () => {
    const { backend, proxy } = await throughProxy();
    const queue = uniqueName();
    await backend.declareQueue(queue);
    await backend.publishToQueue(queue, numbered(2));
    const { deliveries, subscription } = await receive(backend, queue);
    await eventually(() => expect(deliveries).toHaveLength(2));
    await deliveries[0]?.retry({ because: 'deferred', delayMs: 600_000 });
    // Longer than SQS lets anybody hold a message.
    await deliveries[1]?.retry({ because: 'deferred', delayMs: 50_000_000 });
    const seconds = (): unknown[] =>
      proxy.calls
        .filter(({ action }) => action === 'ChangeMessageVisibilityBatch')
        .flatMap((call) => entriesOf(call).map(({ VisibilityTimeout }) => VisibilityTimeout));
    expect(seconds()).toEqual([expect.any(Number)]);
    expect(seconds()[0]).toBeGreaterThan(43_000);
    await subscription.close();
    expect(seconds()).toHaveLength(2);
    expect(seconds()[1]).toBeGreaterThan(500);
    expect(seconds()[1]).toBeLessThanOrEqual(600);
  });

  test('what is deferred takes no room of the window, which is never exceeded when it comes again', async () => {
    const backend = backendAt(url);
    const queue = uniqueName();
    await backend.declareQueue(queue);
    await backend.publishToQueue(queue, numbered(12));
    const open = new Set<Delivery>();
    let most = 0;
    const { deliveries } = await receive(backend, queue, { maxInFlight: 2 }, async (delivery) => {
      open.add(delivery);
      most = Math.max(most, open.size);
      await new Promise((resolve) => setTimeout(resolve, 5));
      const isFirst = deliveries.filter(({ message: { id } }) => id === delivery.message.id).length === 1;
      open.delete(delivery);
      await (isFirst ? delivery.retry({ because: 'deferred', delayMs: 100 }) : delivery.acknowledge());
    });
    await eventually(() => expect(deliveries).toHaveLength(24));
    expect(most).toBe(2);
  });

  test('a delay that makes no sense is refused, and settles nothing', async () => {
    const backend = backendAt(url);
    const queue = uniqueName();
    await backend.declareQueue(queue);
    await backend.publishToQueue(queue, numbered(1));
    const { deliveries } = await receive(backend, queue);
    await eventually(() => expect(deliveries).toHaveLength(1));
    for (const delayMs of [-1, Number.NaN, Number.POSITIVE_INFINITY]) {
      const refused = { code: 'CONFIGURATION', message: expect.stringContaining(`delayMs`) };
      await expect(deliveries[0]?.retry({ delayMs })).rejects.toMatchObject(refused);
      await expect(backend.publishToQueue(queue, numbered(1), { delayMs })).rejects.toMatchObject(refused);
      const timed = backend.publishToQueue(queue, numbered(1), { deadlineMs: delayMs });
      await expect(timed).rejects.toMatchObject({ code: 'CONFIGURATION' });
    }
    await deliveries[0]?.acknowledge();
  });
});
