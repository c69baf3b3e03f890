import { Kafka } from 'kafkajs';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { KafkajsClient } from '../src/client/kafkajs/client.ts';
import { kafkaBackendOn } from '../src/index.ts';
import {
  address,
  arrived,
  inbox,
  message,
  noBroker,
  queueName,
  recordingLogger,
  soon,
  url,
} from './support/scene.ts';

/** kafkajs, of which this adapter's private knowledge is no longer true. */
class ChangedKafka extends Kafka {
  constructor(config: ConstructorParameters<typeof Kafka>[0]) {
    super(config);
    const own = this as unknown as Record<symbol, unknown>;
    const [symbol] = Object.getOwnPropertySymbols(this).filter(({ description }) =>
      description?.includes('createCluster'),
    );
    const name = symbol as symbol;
    const create = own[name] as (options: object) => {
      findBroker(node: object): Promise<{ versions: object }>;
    };
    delete own[name];
    const made = (options: object) => {
      const cluster = create(options);
      const find = cluster.findBroker.bind(cluster);
      cluster.findBroker = async (node) => {
        const broker = await find(node);
        const old = { 0: { minVersion: 3, maxVersion: 3 }, 1: { minVersion: 4, maxVersion: 10 } };
        broker.versions = { ...broker.versions, ...old };
        return broker;
      };
      return cluster;
    };
    Object.setPrototypeOf(this, Object.create(Object.getPrototypeOf(this), { [name]: { value: made } }));
  }
}

describe.skipIf(url === '')(`kafkajs other than expected${url === '' ? ` (${noBroker})` : ''}`, () => {
  test('is used by its public API: all works, one warning says so, and health', async () => {
    const SlowBackend = kafkaBackendOn((settings, watch) => new KafkajsClient(settings, watch, ChangedKafka));
    const logger = recordingLogger();
    const backend = new SlowBackend({ brokers: [address], partitions: 2, sessionTimeoutMs: 6_000, logger });
    onTestFinished(() => backend.close());
    const queue = queueName(backend);
    await backend.declareQueue(queue);
    const received = inbox((delivery) =>
      delivery.attempt === 1 ? delivery.retry({ delayMs: 10 }) : delivery.acknowledge(),
    );
    await backend.subscribe(queue, { maxInFlight: 10 }, received.receive);
    const sent = ['a', 'b', 'c'].map((key) => message(key, { key, headers: { tenant: 'ž', none: '' } }));
    await backend.publishToQueue(queue, sent);
    await backend.publishToQueue(queue, [message(Buffer.of(0xff))]);
    await arrived(received.deliveries, 8);
    expect(received.contents()).toEqual(expect.arrayContaining(['a', 'b', 'c', Uint8Array.of(0xff)]));
    expect(received.deliveries[0]?.message.headers).toEqual({ tenant: 'ž', none: '' });
    await vi.waitFor(async () => expect((await backend.describeQueue(queue)).depth).toBe(0), soon);
    expect(await backend.health()).toMatchObject({
      status: 'degraded',
      detail: expect.stringMatching(
        /full speed .*(way of kafkajs; each partition .* of its own|of its own; .* way of kafkajs)/,
      ),
    });
    expect(logger.lines).toEqual(['trouble using the Kafka client at its full speed']);
  });
});
