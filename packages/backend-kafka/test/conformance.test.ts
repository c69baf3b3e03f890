import { connect as connectSocket } from 'node:net';
import { describeBackend } from '@melange/conformance';
import { silentLogger } from '@melange/core';
import { describe, it } from 'vitest';
import { kafkaControl } from '../../../apps/brokers/src/index.ts';
import { KafkaBackend, type KafkaBackendOptions, kafkaCapabilities } from '../src/index.ts';

const { KAFKA_URL: url } = process.env;

if (url === undefined) {
  describe('backend kafka', () => {
    it('conforms', (test) => test.skip('KAFKA_URL is not set'));
  });
} else {
  const { hostname: host, port } = new URL(url);
  const control = await kafkaControl(url);
  // Lost connections are what the suite makes on purpose: warnings of them would only be noise.
  const connect = (options: Partial<KafkaBackendOptions> = {}) =>
    new KafkaBackend({
      brokers: [url],
      partitions: 3,
      sessionTimeoutMs: 6_000,
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
    faults: {
      target: { host, port: Number(port || 9092) },
      // Brokers tell their own address: every connection has to be led through the proxy.
      create: (proxy) =>
        connect({
          socketFactory: ({ onConnect }) => connectSocket({ ...proxy, noDelay: true }, onConnect),
        }),
      ...(control === null ? {} : { restart: () => control.restart() }),
    },
  });
}
