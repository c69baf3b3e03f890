import { describe, expect, onTestFinished, test, vi } from 'vitest';
import {
  arrived,
  backendFor,
  inbox,
  message,
  noBroker,
  queueName,
  recordingLogger,
  soon,
  unique,
  url,
} from './support/scene.ts';

function topicName(): string {
  const name = unique();
  onTestFinished(() => backendFor().deleteTopic(name));
  return name;
}

describe.skipIf(url === '')(`declaring a queue of Kafka again${url === '' ? ` (${noBroker})` : ''}`, () => {
  test('adds topics and widens filters; what a declaration leaves out stays, with one warning', async () => {
    const logger = recordingLogger();
    const backend = backendFor({ logger });
    const [queue, first, second] = [queueName(backend), topicName(), topicName()];
    await backend.declareQueue(queue, { topics: [first], filter: ['B'] });
    expect(await backend.describeQueue(queue)).toMatchObject({ topics: [first], filter: ['B'] });
    await backend.declareQueue(queue, { topics: [first], filter: ['A'] });
    expect(await backend.describeQueue(queue)).toMatchObject({ topics: [first], filter: ['A', 'B'] });
    expect(logger.lines).toEqual(['a queue keeps receiving manifests that its declaration does not list']);
    await backend.declareQueue(queue, { topics: [second], filter: ['C'] });
    // Another process sees the same.
    const other = backendFor({ logger });
    expect(await other.describeQueue(queue)).toMatchObject({
      topics: [first, second].sort(),
      filter: ['A', 'B', 'C'],
    });
    await other.declareQueue(queue, { topics: [first] });
    const description = await backend.describeQueue(queue);
    expect([description.topics, description.filter]).toEqual([[first, second].sort(), undefined]);
    expect(logger.lines).toHaveLength(1);
    await backend.declareQueue(queue);
    expect((await backend.describeQueue(queue)).topics).toHaveLength(2);
  });

  test('takes away what it says in words, also for subscriptions that are open', async () => {
    const logger = recordingLogger();
    const backend = backendFor({ logger });
    const [queue, kept, removed] = [queueName(backend), topicName(), topicName()];
    await backend.declareQueue(queue, { topics: [kept, removed] });
    const received = inbox((delivery) => delivery.acknowledge());
    await backend.subscribe(queue, { maxInFlight: 10 }, received.receive);
    await backend.publishToTopic(removed, [message('before')]);
    await arrived(received.deliveries, 1);
    await backend.declareQueue(queue, {
      topics: [kept],
      removeTopics: [removed, 'never-bound'],
      filter: ['Wanted'],
      replaceFilter: true,
    });
    expect(await backend.describeQueue(queue)).toMatchObject({ topics: [kept], filter: ['Wanted'] });
    await backend.publishToTopic(removed, [message('after')]);
    await backend.publishToTopic(kept, [message('unwanted', { manifest: 'Other' })]);
    await backend.publishToTopic(kept, [message('wanted', { manifest: 'Wanted' })]);
    await arrived(received.deliveries, 2);
    await vi.waitFor(async () => expect((await backend.describeQueue(queue)).depth).toBe(0), soon);
    expect(received.contents()).toEqual(['before', 'wanted']);
    await backend.declareQueue(queue, { topics: [kept], replaceFilter: true });
    expect((await backend.describeQueue(queue)).filter).toBeUndefined();
    expect(logger.lines.filter((line) => line.includes('manifests'))).toEqual([]);
  });

  test('two versions that declare in turns lose nothing that one of them wants', async () => {
    const backend = backendFor();
    const [queue, topic] = [queueName(backend), topicName()];
    for (let deploy = 0; deploy < 2; deploy += 1)
      for (const filter of [['Old'], ['New']]) await backend.declareQueue(queue, { topics: [topic], filter });
    for (const manifest of ['Old', 'New', 'Other'])
      await backend.publishToTopic(topic, [message(manifest, { manifest, key: 'k' })]);
    const received = inbox((delivery) => delivery.acknowledge());
    await backend.subscribe(queue, { maxInFlight: 10 }, received.receive);
    await arrived(received.deliveries, 2);
    expect(received.contents()).toEqual(['Old', 'New']);
  });

  test('another process learns the name of the dead-letter queue', async () => {
    const backend = backendFor();
    const [queue, dead] = [queueName(backend), queueName(backend)];
    await backend.declareQueue(queue, { deadLetterQueue: dead });
    expect(await backendFor().describeQueue(queue)).toMatchObject({ deadLetterQueue: dead, topics: [] });
  });
});
