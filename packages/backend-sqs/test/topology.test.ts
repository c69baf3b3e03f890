import {
  GetSubscriptionAttributesCommand,
  ListSubscriptionsByTopicCommand,
  ListTopicsCommand,
  SNSClient,
} from '@aws-sdk/client-sns';
import {
  CreateQueueCommand,
  GetQueueAttributesCommand,
  GetQueueUrlCommand,
  SetQueueAttributesCommand,
  SQSClient,
} from '@aws-sdk/client-sqs';
import type { Logger } from '@melange/core';
import { afterAll, describe, expect, test } from 'vitest';
import { client } from './support/broker.ts';
import { refusal } from './support/http-proxy.ts';
import {
  backendAt,
  drain,
  eventually,
  isMissing,
  message,
  numbered,
  receive,
  sharedUrl,
  throughProxy,
  uniqueName,
} from './support/scene.ts';

const url = sharedUrl as string;
const sqs = new SQSClient({ ...client, endpoint: url ?? 'http://127.0.0.1:1' });
const sns = new SNSClient({ ...client, endpoint: url ?? 'http://127.0.0.1:1' });
afterAll(() => {
  sqs.destroy();
  sns.destroy();
});

async function attributesOf(queue: string): Promise<Record<string, string>> {
  const { QueueUrl } = await sqs.send(new GetQueueUrlCommand({ QueueName: queue }));
  const { Attributes } = await sqs.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ['All'] }));
  return { ...Attributes, QueueUrl: QueueUrl ?? '' };
}

/** A logger of which a test hears warnings, and what else it asks for. */
function loggerOf(
  warn: (...line: unknown[]) => void,
  info: (...line: unknown[]) => void = () => undefined,
): Logger {
  const ignore = (): void => undefined;
  return { debug: ignore, error: ignore, info, warn };
}

/** Names of the topics that the policy lets send to the queue. */
async function allowedTopics(queue: string): Promise<string[]> {
  const { Statement } = JSON.parse((await attributesOf(queue)).Policy ?? '{"Statement":[]}') as {
    Statement: { Sid?: string; Condition?: { ArnEquals?: Record<string, string[]> } }[];
  };
  const ours = Statement.filter(({ Sid }) => Sid === 'MelangeTopics');
  expect(ours.length).toBeLessThanOrEqual(1);
  return (ours[0]?.Condition?.ArnEquals?.['aws:SourceArn'] ?? [])
    .map((arn) => arn.split(':').at(-1) as string)
    .sort();
}

/** Attributes of a queue's subscriptions to a topic. */
async function subscriptionsOf(topic: string, queue: string): Promise<Record<string, string>[]> {
  const prefix = (await attributesOf(queue)).QueueArn?.replace(':sqs:', ':sns:').replace(/[^:]*$/, '');
  const { Subscriptions = [] } = await sns.send(
    new ListSubscriptionsByTopicCommand({ TopicArn: `${prefix}${topic}` }),
  );
  const found = await Promise.all(
    Subscriptions.map(({ SubscriptionArn }) =>
      sns.send(new GetSubscriptionAttributesCommand({ SubscriptionArn })),
    ),
  );
  return found.map(({ Attributes }) => Attributes ?? {});
}

describe.skipIf(isMissing)('queues and topics (skipped without SQS_URL)', () => {
  test('the policy of a queue allows all its topics, whoever declared them and when', async () => {
    const topics = [uniqueName(), uniqueName(), uniqueName(), uniqueName()];
    const [first, second, third, fourth] = topics as [string, string, string, string];
    const queue = uniqueName();
    const [backend, other] = [backendAt(url), backendAt(url)];
    await backend.declareQueue(queue, { topics: [first, second] });
    await other.declareQueue(queue, { topics: [third] });
    await backend.declareQueue(queue, { topics: [fourth] });
    await backend.declareQueue(queue);
    expect(await allowedTopics(queue)).toEqual([...topics].sort());
    for (const topic of topics) await backend.publishToTopic(topic, numbered(1));
    expect(await drain(backend, queue)).toHaveLength(4);
  });

  test('declarations at the same time drop nothing of each other', async () => {
    const topics = Array.from({ length: 6 }, () => uniqueName());
    const queue = uniqueName();
    const backends = [backendAt(url), backendAt(url), backendAt(url)];
    await backends[0]?.declareQueue(queue);
    await Promise.all(
      topics.map((topic, index) =>
        backends[index % backends.length]?.declareQueue(queue, { topics: [topic] }),
      ),
    );
    expect(await allowedTopics(queue)).toEqual([...topics].sort());
  });

  test('statements of others in the policy stay', async () => {
    const [topic, queue] = [uniqueName(), uniqueName()];
    const backend = backendAt(url);
    await backend.declareQueue(queue);
    const { QueueUrl = '', QueueArn } = await attributesOf(queue);
    const theirs = { Sid: 'Theirs', Effect: 'Deny', Principal: '*', Action: 'sqs:*', Resource: QueueArn };
    const Policy = JSON.stringify({ Version: '2012-10-17', Id: 'theirs', Statement: [theirs] });
    await sqs.send(new SetQueueAttributesCommand({ QueueUrl, Attributes: { Policy } }));
    await backend.declareQueue(queue, { topics: [topic] });
    const merged = JSON.parse((await attributesOf(queue)).Policy as string) as {
      Id: string;
      Statement: object[];
    };
    expect(merged.Id).toBe('theirs');
    expect(merged.Statement).toEqual([
      theirs,
      expect.objectContaining({ Sid: 'MelangeTopics', Resource: QueueArn }),
    ]);
  });

  test('a subscription is raw and filters by manifest; a further declaration lets more through, never less', async () => {
    const [topic, queue] = [uniqueName(), uniqueName()];
    const backend = backendAt(url);
    await backend.declareQueue(queue, { topics: [topic], filter: ['A'] });
    expect(await subscriptionsOf(topic, queue)).toEqual([
      expect.objectContaining({ RawMessageDelivery: 'true', FilterPolicy: '{"manifest":["A"]}' }),
    ]);
    await backendAt(url).declareQueue(queue, { topics: [topic], filter: ['B'] });
    const manifests = ['A', 'B', 'C'].map((manifest) => message(manifest, { manifest }));
    await backend.publishToTopic(topic, manifests);
    expect((await drain(backend, queue)).map(({ content }) => content).sort()).toEqual(['A', 'B']);
    await backend.declareQueue(queue, { topics: [topic] });
    await backend.publishToTopic(topic, manifests);
    expect(await drain(backend, queue)).toHaveLength(3);
    expect(await subscriptionsOf(topic, queue)).toHaveLength(1);
  });

  test('a filter that asks for less keeps what was declared and says so once, until replaceFilter makes it exact', async () => {
    const [topic, queue] = [uniqueName(), uniqueName()];
    const warnings: unknown[] = [];
    const backend = backendAt(url, { logger: loggerOf((...line) => warnings.push(line)) });
    const filterNow = async () => (await backend.describeQueue(queue)).filter;
    await backend.declareQueue(queue, { topics: [topic], filter: ['B', 'A'] });
    expect(await backend.describeQueue(queue)).toMatchObject({ topics: [topic], filter: ['A', 'B'] });
    expect(warnings).toEqual([]);
    await backend.declareQueue(queue, { topics: [topic], filter: ['B', 'C'] });
    expect(warnings.splice(0)).toEqual([
      [expect.any(String), { queue, manifests: ['A'], toRemoveManifests: 'replaceFilter' }],
    ]);
    expect(await filterNow()).toEqual(['A', 'B', 'C']);
    await backend.declareQueue(queue, { topics: [topic], filter: ['C'], replaceFilter: true });
    expect(await filterNow()).toEqual(['C']);
    await backend.declareQueue(queue, { topics: [topic] });
    expect(await filterNow()).toBeUndefined();
    expect(warnings).toEqual([]);
    await backend.declareQueue(queue, { topics: [topic], filter: ['A'] });
    expect(await filterNow()).toBeUndefined();
    expect(warnings.splice(0)).toEqual([
      [expect.any(String), { queue, manifests: 'all', toRemoveManifests: 'replaceFilter' }],
    ]);
    await backend.declareQueue(queue, { topics: [topic], filter: ['A'], replaceFilter: true });
    expect(await filterNow()).toEqual(['A']);
    await backend.declareQueue(queue, { topics: [topic], replaceFilter: true });
    expect(await filterNow()).toBeUndefined();
    expect(warnings).toEqual([]);
  });

  test('a topic stays until removeTopics names it, which ends its subscription and takes it out of the policy', async () => {
    const [kept, removed, queue] = [uniqueName(), uniqueName(), uniqueName()];
    const warnings: unknown[] = [];
    const backend = backendAt(url, { logger: loggerOf((...line) => warnings.push(line)) });
    await backend.declareQueue(queue, { topics: [kept, removed] });
    await backend.declareQueue(queue, { topics: [kept] });
    expect(warnings.splice(0)).toEqual([
      [expect.any(String), { queue, topics: [removed], toRemoveTopics: 'removeTopics' }],
    ]);
    expect(await backend.describeQueue(queue)).toMatchObject({ topics: [kept, removed].sort() });
    const never = uniqueName();
    await backendAt(url).declareQueue(queue, { topics: [kept], removeTopics: [removed, never] });
    expect(await backend.describeQueue(queue)).toMatchObject({ topics: [kept] });
    expect(await allowedTopics(queue)).toEqual([kept]);
    expect(await subscriptionsOf(removed, queue)).toEqual([]);
    await backend.publishToTopic(removed, numbered(1));
    await backend.publishToTopic(kept, numbered(1));
    expect(await drain(backend, queue)).toHaveLength(1);
    // Silent about topics it asks for none to go; with an empty list it does.
    await backend.declareQueue(queue);
    expect(warnings).toEqual([]);
    await backend.declareQueue(queue, { topics: [] });
    expect(warnings.splice(0)).toEqual([
      [expect.any(String), { queue, topics: [kept], toRemoveTopics: 'removeTopics' }],
    ]);
    // The last one takes our statement with it.
    await backend.declareQueue(queue, { removeTopics: [kept] });
    expect(await backend.describeQueue(queue)).toMatchObject({ topics: [], filter: undefined });
    expect(warnings).toEqual([]);
  });

  test('a queue tells what is waiting and what is in flight', async () => {
    const backend = backendAt(url);
    const queue = uniqueName();
    await backend.declareQueue(queue);
    await backend.publishToQueue(queue, numbered(5));
    const { deliveries } = await receive(backend, queue, { maxInFlight: 2 });
    await eventually(() => expect(deliveries).toHaveLength(2));
    expect(await backend.describeQueue(queue)).toMatchObject({ depth: 3, inFlight: 2, topics: [] });
  });

  test('to describe a queue wants no rights to its topics: the filter is not told then', async () => {
    const { backend, proxy } = await throughProxy();
    const [topic, queue] = [uniqueName(), uniqueName()];
    await backend.declareQueue(queue, { topics: [topic], filter: ['A'] });
    proxy.interfere = ({ action }) =>
      action === 'ListSubscriptionsByTopic' ? { refuse: refusal('AuthorizationError', 403) } : undefined;
    expect(await backend.describeQueue(queue)).toMatchObject({ topics: [topic], filter: undefined });
  });

  describe('a queue as Python Melange declares it, which SQS itself dead-letters after 4 receives', () => {
    async function pythonQueue() {
      const [queue, deadLetterQueue] = [uniqueName(), uniqueName()];
      await backendAt(url).declareQueue(deadLetterQueue);
      const { QueueArn } = await attributesOf(deadLetterQueue);
      const RedrivePolicy = JSON.stringify({ deadLetterTargetArn: QueueArn, maxReceiveCount: 4 });
      await sqs.send(new CreateQueueCommand({ QueueName: queue, Attributes: { RedrivePolicy } }));
      return { queue, deadLetterQueue, countOf: () => receiveCountOf(queue) };
    }

    const receiveCountOf = async (queue: string): Promise<unknown> => {
      const { RedrivePolicy = '{}' } = await attributesOf(queue);
      return Number((JSON.parse(RedrivePolicy) as { maxReceiveCount?: unknown }).maxReceiveCount);
    };

    test('is raised to as many as SQS counts, and says so, as it does that it keeps messages for four days', async () => {
      const { queue, deadLetterQueue, countOf } = await pythonQueue();
      const lines: unknown[] = [];
      const note = (...line: unknown[]): void => void lines.push(line);
      const backend = backendAt(url, { logger: loggerOf(note, note) });
      await backend.declareQueue(queue, { deadLetterQueue });
      expect(await countOf()).toBe(1_000);
      expect(lines).toEqual([
        [
          expect.stringContaining('longest retention'),
          { queue, MessageRetentionPeriod: 345_600, longest: 1_209_600 },
        ],
        [expect.stringContaining('raised maxReceiveCount'), { queue, from: 4, to: 1_000 }],
      ]);
      await backend.publishToQueue(queue, numbered(1));
      const { deliveries } = await receive(backend, queue, {}, (delivery) =>
        delivery.attempt < 8 ? delivery.retry() : delivery.acknowledge(),
      );
      await eventually(() => expect(deliveries).toHaveLength(8));
      expect(await drain(backend, deadLetterQueue)).toEqual([]);
    });

    test('is left so where the declaration says so, and raised to what it says', async () => {
      const { queue, deadLetterQueue, countOf } = await pythonQueue();
      const backend = backendAt(url);
      await backend.declareQueue(queue, { deadLetterQueue, maxReceiveCount: 4 });
      expect(await countOf()).toBe(4);
      await backend.declareQueue(queue, { deadLetterQueue, maxReceiveCount: 50 });
      expect(await countOf()).toBe(50);
      // Never lowered: another version of the service may want it so.
      await backend.declareQueue(queue, { deadLetterQueue, maxReceiveCount: 40 });
      expect(await countOf()).toBe(50);
    });

    test.each(['look-up', 'declare'] as const)(
      'is a conflict that says how to mend it, where it cannot be changed: topology %s',
      async (topology) => {
        const { queue, deadLetterQueue, countOf } = await pythonQueue();
        const { backend, proxy } = await throughProxy({ topology });
        proxy.interfere = ({ action }) =>
          action === 'SetQueueAttributes' ? { refuse: refusal('AccessDeniedException', 403) } : undefined;
        await expect(backend.declareQueue(queue, { deadLetterQueue })).rejects.toMatchObject({
          code: 'TOPOLOGY_CONFLICT',
          message: expect.stringMatching(/after 4 receives.*maxReceiveCount: 4/s),
        });
        expect(proxy.count('SetQueueAttributes')).toBe(topology === 'declare' ? 1 : 0);
        await backend.declareQueue(queue, { deadLetterQueue, maxReceiveCount: 4 });
        expect(await countOf()).toBe(4);
      },
    );
  });

  test('a queue has its dead-letter queue in its redrive policy, the net under messages that end their process', async () => {
    const [queue, deadLetterQueue] = [uniqueName(), uniqueName()];
    const backend = backendAt(url);
    await backend.declareQueue(queue, { deadLetterQueue, maxReceiveCount: 2 });
    const { RedrivePolicy = '' } = await attributesOf(queue);
    expect(JSON.parse(RedrivePolicy)).toEqual({
      deadLetterTargetArn: (await attributesOf(deadLetterQueue)).QueueArn,
      maxReceiveCount: 2,
    });
    const [sent] = numbered(1);
    await backend.publishToQueue(queue, [sent as never]);
    const { deliveries } = await receive(backend, queue, {}, (delivery) => delivery.release());
    const dead = await receive(backend, deadLetterQueue);
    await eventually(() => expect(dead.deliveries).toHaveLength(1));
    expect(deliveries).toHaveLength(2);
    expect(dead.deliveries[0]?.message.id).toBe(sent?.id);
  });

  test('a queue and its dead-letter queue keep messages for as long as SQS can, unless told otherwise', async () => {
    const [queue, deadLetterQueue, hasty] = [uniqueName(), uniqueName(), uniqueName()];
    const backend = backendAt(url);
    await backend.declareQueue(queue, { deadLetterQueue });
    await backend.declareQueue(hasty, { attributes: { MessageRetentionPeriod: '60' } });
    const seconds = (await Promise.all([queue, deadLetterQueue, hasty].map(attributesOf))).map(
      ({ MessageRetentionPeriod }) => Number(MessageRetentionPeriod),
    );
    expect(seconds).toEqual([14 * 86_400, 14 * 86_400, 60]);
  });

  test('a queue that exists with other attributes is a conflict, and stays as it is', async () => {
    const queue = uniqueName();
    const backend = backendAt(url);
    const attributes = { MessageRetentionPeriod: '3600' };
    await backend.declareQueue(queue, { attributes });
    await backend.declareQueue(queue, { attributes });
    const different = { attributes: { MessageRetentionPeriod: '7200' } };
    await expect(backend.declareQueue(queue, different)).rejects.toMatchObject({ code: 'TOPOLOGY_CONFLICT' });
    expect(await attributesOf(queue)).toMatchObject(attributes);
  });

  test('a queue that was deleted is subscribed to nothing when it is made again', async () => {
    const [topic, queue] = [uniqueName(), uniqueName()];
    const backend = backendAt(url);
    await backend.declareQueue(queue, { topics: [topic] });
    await backend.deleteQueue(queue);
    await backend.declareQueue(queue);
    expect(await subscriptionsOf(topic, queue)).toEqual([]);
    await backend.publishToTopic(topic, numbered(1));
    expect(await drain(backend, queue)).toEqual([]);
  });

  test('a name that SQS does not take yet, its queue being deleted just now, is tried until it does', async () => {
    const { backend, proxy } = await throughProxy();
    let refusals = 1;
    proxy.interfere = ({ action }) => {
      if (action !== 'CreateQueue' || refusals === 0) return undefined;
      refusals -= 1;
      return { refuse: refusal('QueueDeletedRecently') };
    };
    const queue = uniqueName();
    await backend.declareQueue(queue);
    expect(proxy.count('CreateQueue')).toBe(2);
    expect(await backend.describeQueue(queue)).toMatchObject({ exists: true });
  });

  test('publishing to a topic that does not exist makes none', async () => {
    const topic = uniqueName();
    await expect(backendAt(url).publishToTopic(topic, numbered(1))).rejects.toMatchObject({
      code: 'TOPIC_NOT_FOUND',
    });
    const { Topics = [] } = await sns.send(new ListTopicsCommand({}));
    expect(Topics.filter(({ TopicArn }) => TopicArn?.endsWith(topic))).toEqual([]);
  });

  test('a queue that was deleted behind our back is QUEUE_NOT_FOUND, though its address is known', async () => {
    const [backend, other] = [backendAt(url), backendAt(url)];
    const queue = uniqueName();
    await backend.declareQueue(queue);
    await backend.publishToQueue(queue, numbered(1));
    await other.deleteQueue(queue);
    await expect(backend.publishToQueue(queue, numbered(1))).rejects.toMatchObject({
      code: 'QUEUE_NOT_FOUND',
    });
    await other.declareQueue(queue);
    await backend.publishToQueue(queue, numbered(1));
    expect(await drain(backend, queue)).toHaveLength(1);
  });

  test.each(['with.dots', 'with space', '', 'x'.repeat(81), 'ž'])(
    'a name that AWS does not take is refused: %s',
    async (name) => {
      const { backend, proxy } = await throughProxy();
      const shown = name === '' ? 'must not be empty' : `"${name.slice(0, 60)}`;
      const refused = { code: 'CONFIGURATION', message: expect.stringContaining(shown) };
      await expect(backend.declareQueue(name)).rejects.toMatchObject(refused);
      await expect(backend.declareQueue(uniqueName(), { deadLetterQueue: name })).rejects.toMatchObject(
        refused,
      );
      for (const use of [
        () => backend.publishToQueue(name, numbered(1)),
        () => receive(backend, name),
        () => backend.describeQueue(name),
        () => backend.deleteQueue(name),
      ])
        await expect(use()).rejects.toMatchObject(refused);
      if (name.length > 80) return;
      await expect(backend.declareTopic(name)).rejects.toMatchObject(refused);
      await expect(backend.publishToTopic(name, numbered(1))).rejects.toMatchObject(refused);
      expect(proxy.calls).toEqual([]);
    },
  );

  test('delays above those of SQS are refused', async () => {
    const backend = backendAt(url);
    const queue = uniqueName();
    await backend.declareQueue(queue);
    const delayed = backend.publishToQueue(queue, numbered(1), { delayMs: 900_001 });
    await expect(delayed).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringContaining('900,000'),
    });
  });
});

describe.skipIf(isMissing)('topology: look-up (skipped without SQS_URL)', () => {
  const changing = /^(Create|Delete|Set|Subscribe|Unsubscribe|Add|Remove|Tag|Untag)/;

  test('finds what is there, works with it, and changes nothing', async () => {
    const [topic, queue, deadLetterQueue] = [uniqueName(), uniqueName(), uniqueName()];
    await backendAt(url).declareQueue(queue, { topics: [topic], deadLetterQueue });
    const { backend, proxy } = await throughProxy({ topology: 'look-up' });
    await backend.declareTopic(topic);
    await backend.declareQueue(queue, { topics: [topic], deadLetterQueue });
    await backend.publishToQueue(queue, numbered(1));
    await backend.publishToTopic(topic, numbered(1));
    const { deliveries } = await receive(backend, queue);
    await eventually(() => expect(deliveries).toHaveLength(2));
    await deliveries[0]?.acknowledge();
    await deliveries[1]?.deadLetter({ reason: 'test' });
    const made = proxy.calls.filter(
      ({ action }) => changing.test(action) && !action.startsWith('DeleteMessage'),
    );
    expect(made).toEqual([]);
    expect(await drain(backend, deadLetterQueue)).toHaveLength(1);
  });

  test('says what is missing or different', async () => {
    const [topic, unbound, queue] = [uniqueName(), uniqueName(), uniqueName()];
    const declaring = backendAt(url);
    await declaring.declareQueue(queue, { topics: [topic] });
    await declaring.declareTopic(unbound);
    const { backend, proxy } = await throughProxy({ topology: 'look-up' });
    const missing = uniqueName();
    await expect(backend.declareQueue(missing)).rejects.toMatchObject({ code: 'QUEUE_NOT_FOUND' });
    await expect(backend.declareTopic(missing)).rejects.toMatchObject({ code: 'TOPIC_NOT_FOUND' });
    await expect(backend.declareQueue(queue, { topics: [missing] })).rejects.toMatchObject({
      code: 'TOPIC_NOT_FOUND',
    });
    await expect(backend.declareQueue(queue, { topics: [unbound] })).rejects.toMatchObject({
      code: 'TOPOLOGY_CONFLICT',
      message: expect.stringContaining('not subscribed'),
    });
    await expect(backend.declareQueue(queue, { deadLetterQueue: missing })).rejects.toMatchObject({
      code: 'TOPOLOGY_CONFLICT',
    });
    expect(proxy.calls.filter(({ action }) => changing.test(action))).toEqual([]);
  });
});
