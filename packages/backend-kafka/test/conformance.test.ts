import { connect as connectSocket } from 'node:net';
import { describeBackend } from '@melange/conformance';
import { silentLogger } from '@melange/core';
import { afterAll, describe, it } from 'vitest';
import { canStartHere, startKafka } from '../../../apps/brokers/src/index.ts';
import { KafkaBackend, type KafkaBackendOptions, kafkaCapabilities } from '../src/index.ts';

const { KAFKA_URL: shared } = process.env;

if (shared === undefined) {
  describe('backend kafka', () => {
    it('conforms', (test) => test.skip('KAFKA_URL is not set'));
  });
} else {
  // One of our own where it can be had: the suite restarts it.
  const own = canStartHere('kafka') ? await startKafka() : undefined;
  if (own !== undefined) afterAll(() => own.stop());
  const url = own?.url ?? shared;
  const { hostname: host, port } = new URL(url);
  const sessionTimeoutMs = 6_000;
  const connect = (options: Partial<KafkaBackendOptions> = {}) =>
    new KafkaBackend({
      brokers: [url],
      partitions: 3,
      sessionTimeoutMs,
      heartbeatIntervalMs: 200,
      revocationDeadlineMs: 3_000,
      connectTimeoutMs: 1_000,
      logger: silentLogger,
      ...options,
    });
  describeBackend({
    name: 'kafka',
    create: () => ({ backend: connect(), another: () => connect() }),
    capabilities: kafkaCapabilities,
    // A member keeps its partitions for that long without a word.
    leaseMs: sessionTimeoutMs,
    faults: {
      target: { host, port: Number(port || 9092) },
      // Brokers tell their own address: every connection has to be led through the proxy.
      create: (proxy, logger) =>
        connect({
          logger,
          socketFactory: ({ onConnect }) => connectSocket({ ...proxy, noDelay: true }, onConnect),
        }),
      ...(own !== undefined && { restart: () => own.restart() }),
    },
  });
}
