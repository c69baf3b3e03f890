import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type Answer, entriesOf, first, refusal } from './support/http-proxy.ts';
import {
  backendAt,
  drain,
  eventually,
  isMissing,
  message,
  queueThroughProxy,
  receive,
  sharedUrl,
  throughProxy,
  uniqueName,
  writers,
} from './support/scene.ts';

/** Longer than any test waits: what ends sooner was given up. */
const requestTimeoutMs = 600_000;

/** As if a byte of a body had been lost on the way. */
function withOtherMd5({ body, ...answer }: Answer): Answer {
  return {
    ...answer,
    body: body.replace(/"MD5Of(Message)?Body":"[0-9a-f]{32}"/g, `"MD5Of$1Body":"${'0'.repeat(32)}"`),
  };
}

describe.skipIf(isMissing).each(writers)('requests by $writer (skipped without SQS_URL)', ({ lambda }) => {
  beforeEach(() => {
    vi.stubEnv('AWS_LAMBDA_FUNCTION_NAME', lambda);
  });

  afterEach(() => {
    vi.unstubAllEnvs();
  });

  test('one whose messages are all out of time is given up, and the next one takes its place', async () => {
    const { backend, proxy, queue } = await queueThroughProxy({ requestTimeoutMs }, '.fifo');
    proxy.interfere = first(1, 'SendMessageBatch', () => ({ hold: true }));
    const late = backend.publishToQueue(queue, [message('late')], { deadlineMs: 200 });
    await expect(late).rejects.toMatchObject({ code: 'PUBLISH_FAILED' });
    await backend.publishToQueue(queue, [message('next')]);
    await eventually(() => expect(proxy.givenUp).toBe(1));
    expect((await drain(backend, queue)).map(({ content }) => content)).toEqual(['next']);
  });

  test('none is sent when the deadline of all its messages passes between two tries', async () => {
    const { backend, proxy, queue } = await queueThroughProxy({}, '.fifo');
    let isRefusing = true;
    proxy.interfere = ({ action }) =>
      isRefusing && action === 'SendMessageBatch'
        ? { refuse: refusal('ServiceUnavailable', 503) }
        : undefined;
    const late = backend.publishToQueue(queue, [message('late')], { deadlineMs: 500 });
    await expect(late).rejects.toMatchObject({ code: 'PUBLISH_FAILED' });
    isRefusing = false;
    // A FIFO queue has one request at a time: the next message goes when the first one's tries have ended.
    await backend.publishToQueue(queue, [message('next')]);
    const sizes = proxy.calls
      .filter(({ action }) => action === 'SendMessageBatch')
      .map((call) => entriesOf(call).length);
    expect(sizes.length).toBeGreaterThan(2);
    expect(sizes.every((size) => size === 1)).toBe(true);
  });

  test('one to a topic is given up likewise', async () => {
    const { backend, proxy } = await throughProxy({ requestTimeoutMs });
    const topic = uniqueName();
    await backend.declareTopic(topic);
    proxy.interfere = first(1, 'PublishBatch', () => ({ hold: true }));
    const late = backend.publishToTopic(topic, [message('late')], { deadlineMs: 200 });
    await expect(late).rejects.toMatchObject({ code: 'PUBLISH_FAILED' });
    await eventually(() => expect(proxy.givenUp).toBe(1));
    await backend.deleteTopic(topic);
  });

  test('one that is not answered in time is given up and sent again', async () => {
    const { backend, proxy, queue } = await queueThroughProxy({ requestTimeoutMs: 200 });
    proxy.interfere = first(1, 'SendMessageBatch', () => ({ hold: true }));
    await backend.publishToQueue(queue, [message('once')]);
    await eventually(() => expect(proxy.givenUp).toBe(1));
    // A busy emulator may take longer than this backend waits.
    expect(await drain(backendAt(sharedUrl as string), queue)).toHaveLength(1);
  });

  test('a receive that is not answered in time is given up, and another one takes its place', async () => {
    const { backend, proxy, queue } = await queueThroughProxy({ requestTimeoutMs: 200, waitTimeSeconds: 0 });
    await backend.publishToQueue(queue, [message('there')]);
    proxy.interfere = first(1, 'ReceiveMessage', () => ({ hold: true }));
    const { deliveries } = await receive(backend, queue, {}, (delivery) => delivery.acknowledge());
    await eventually(() => expect(deliveries).toHaveLength(1));
    expect(proxy.givenUp).toBe(1);
  });

  test('one whose answer breaks off is sent again', async () => {
    const { backend, proxy, queue } = await queueThroughProxy();
    proxy.interfere = first(1, 'SendMessageBatch', () => ({ cut: true }));
    await backend.publishToQueue(queue, [message('twice')]);
    expect((await drain(backend, queue)).map(({ content }) => content)).toEqual(['twice', 'twice']);
  });

  test('what SQS took otherwise than it was sent is sent again', async () => {
    const { backend, proxy, queue } = await queueThroughProxy();
    proxy.interfere = first(1, 'SendMessageBatch', () => ({ answer: withOtherMd5 }));
    await backend.publishToQueue(queue, [message('hällo')]);
    expect(proxy.count('SendMessageBatch')).toBe(2);
  });

  test('what comes otherwise than SQS has it is not processed, and comes again', async () => {
    const { backend, proxy, queue } = await queueThroughProxy({ visibilityTimeoutSeconds: 2 });
    await backend.publishToQueue(queue, [message('hällo')]);
    proxy.interfere = first(1, 'ReceiveMessage', () => ({ answer: withOtherMd5 }));
    const { deliveries } = await receive(backend, queue, {}, (delivery) => delivery.acknowledge());
    await eventually(() => expect(deliveries).toHaveLength(1));
    expect(deliveries[0]).toMatchObject({ attempt: 2, message: { content: 'hällo' } });
  });
});
