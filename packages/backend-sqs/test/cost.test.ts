import { describe, expect, test } from 'vitest';
import { isMissing, numbered, receive, throughProxy, uniqueName } from './support/scene.ts';

const messages = 10_000;
const atOnce = 100;

describe.skipIf(isMissing)('cost in requests (skipped without SQS_URL)', () => {
  test('publishing costs 0.105 of them a message at most, receiving and deleting 0.21', {
    // It counts requests, however long a busy machine takes for them.
    timeout: 240_000,
  }, async () => {
    const { backend, proxy } = await throughProxy();
    const queue = uniqueName();
    await backend.declareQueue(queue);
    await backend.describeQueue(queue);
    const before = proxy.count();

    const waiting = numbered(messages);
    const publisher = async (): Promise<void> => {
      for (let next = waiting.pop(); next !== undefined; next = waiting.pop())
        await backend.publishToQueue(queue, [next]);
    };
    await Promise.all(Array.from({ length: atOnce }, publisher));
    const published = proxy.count();
    expect((published - before) / messages).toBeLessThanOrEqual(0.105);

    let done = 0;
    await new Promise<void>((resolve, reject) => {
      receive(backend, queue, { maxInFlight: atOnce }, async (delivery) => {
        // As handlers do: each takes its own time.
        await new Promise((finish) => setTimeout(finish, (done * 7) % 5));
        await delivery.acknowledge();
        done += 1;
        if (done === messages) resolve();
      }).catch(reject);
    });
    const cost = (proxy.count() - published) / messages;
    expect(cost).toBeLessThanOrEqual(0.21);
    expect(await backend.describeQueue(queue)).toMatchObject({ depth: 0 });
    await backend.deleteQueue(queue);
  });

  test('messages to a topic share requests as well', async () => {
    const { backend, proxy } = await throughProxy();
    const topic = uniqueName();
    await backend.declareTopic(topic);
    await Promise.all(numbered(100).map((one) => backend.publishToTopic(topic, [one])));
    expect(proxy.count('PublishBatch')).toBe(10);
    expect(proxy.count('Publish')).toBe(0);
    await backend.deleteTopic(topic);
  });

  test('an idle subscription asks once in its waiting time', async () => {
    const { backend, proxy } = await throughProxy({ waitTimeSeconds: 1 });
    const queue = uniqueName();
    await backend.declareQueue(queue);
    await receive(backend, queue, { maxInFlight: 100 });
    await new Promise((resolve) => setTimeout(resolve, 2_500));
    expect(proxy.count('ReceiveMessage')).toBe(3);
    await backend.deleteQueue(queue);
  });
});
