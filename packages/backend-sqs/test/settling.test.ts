import { describe, expect, test } from 'vitest';
import { entriesOf, failEntries, first, refusal } from './support/http-proxy.ts';
import {
  drain,
  eventually,
  isMissing,
  message,
  numbered,
  queueThroughProxy,
  receive,
  throughProxy,
  uniqueName,
} from './support/scene.ts';

describe.skipIf(isMissing)('settling under failures (skipped without SQS_URL)', () => {
  test('a delete that failed is sent again while the receipt holds, and only that entry', async () => {
    const { backend, proxy, queue } = await queueThroughProxy();
    await backend.publishToQueue(queue, numbered(10));
    proxy.interfere = first(3, 'DeleteMessageBatch', (call) =>
      failEntries(call, ({ Id }) => Id === '0', { Code: 'InternalError', SenderFault: false }),
    );
    const { deliveries } = await receive(backend, queue);
    await eventually(() => expect(deliveries).toHaveLength(10));
    await Promise.all(deliveries.map((delivery) => delivery.acknowledge()));
    const sizes = proxy.calls
      .filter(({ action }) => action === 'DeleteMessageBatch')
      .map((call) => entriesOf(call).length);
    expect(sizes).toEqual([10, 1, 1, 1]);
    expect(await drain(backend, queue)).toEqual([]);
  });

  test('a delete longer in failing than a visibility goes on being tried, as the lease is extended', async () => {
    const { backend, proxy, queue } = await queueThroughProxy({ visibilityTimeoutSeconds: 2 });
    await backend.publishToQueue(queue, numbered(1));
    const until = Date.now() + 3_000;
    proxy.interfere = ({ action }) =>
      action === 'DeleteMessageBatch' && Date.now() < until
        ? { refuse: refusal('ServiceUnavailable', 503) }
        : undefined;
    const { deliveries } = await receive(backend, queue);
    await eventually(() => expect(deliveries).toHaveLength(1));
    await deliveries[0]?.acknowledge();
    expect(Date.now()).toBeGreaterThanOrEqual(until);
    expect(deliveries).toHaveLength(1);
    expect(await drain(backend, queue)).toEqual([]);
  });

  test('a delete that is refused for good rejects, and the message comes again', async () => {
    const { backend, proxy, queue } = await queueThroughProxy({ visibilityTimeoutSeconds: 2 });
    await backend.publishToQueue(queue, numbered(1));
    proxy.interfere = first(1, 'DeleteMessageBatch', () => ({
      refuse: refusal('AccessDeniedException', 403),
    }));
    const { deliveries } = await receive(backend, queue);
    await eventually(() => expect(deliveries).toHaveLength(1));
    await expect(deliveries[0]?.acknowledge()).rejects.toMatchObject({ code: 'CONFIGURATION' });
    await eventually(() => expect(deliveries).toHaveLength(2));
    expect(deliveries[1]?.attempt).toBe(2);
    await deliveries[1]?.acknowledge();
  });

  test('a dead letter that cannot be copied rejects, and the message comes again', async () => {
    const { backend, proxy } = await throughProxy({ publishTimeoutMs: 300 });
    const [queue, deadLetterQueue] = [uniqueName(), uniqueName()];
    await backend.declareQueue(queue, { deadLetterQueue });
    await backend.publishToQueue(queue, numbered(1));
    let isBroken = true;
    proxy.interfere = ({ action }) =>
      isBroken && action === 'SendMessageBatch' ? { refuse: refusal('InternalError', 500) } : undefined;
    const { deliveries } = await receive(backend, queue);
    await eventually(() => expect(deliveries).toHaveLength(1));
    await expect(deliveries[0]?.deadLetter({ reason: 'test' })).rejects.toMatchObject({
      code: 'PUBLISH_FAILED',
    });
    isBroken = false;
    await eventually(() => expect(deliveries).toHaveLength(2));
    await deliveries[1]?.deadLetter({ reason: 'test' });
    expect(await drain(backend, deadLetterQueue)).toHaveLength(1);
  });

  test('a message of the largest size is dead-lettered whole, without circumstances that have no room', async () => {
    const { backend } = await throughProxy();
    const [queue, deadLetterQueue] = [uniqueName(), uniqueName()];
    await backend.declareQueue(queue, { deadLetterQueue });
    const empty = message('');
    const overhead =
      'manifest'.length + 'String'.length + 'Test'.length + 'serializer_id'.length + 'Number'.length;
    const room = 1_048_576 - overhead - 1 - 'message_idString'.length - empty.id.length;
    const sent = { ...empty, content: 'x'.repeat(room) };
    await backend.publishToQueue(queue, [sent]);
    const { deliveries } = await receive(backend, queue);
    await eventually(() => expect(deliveries).toHaveLength(1));
    await deliveries[0]?.deadLetter({ reason: 'test' });
    const [copy] = await drain(backend, deadLetterQueue);
    expect(copy?.id).toBe(sent.id);
    expect(copy?.content === sent.content).toBe(true);
    expect(copy?.headers).toEqual({});
  });
});
