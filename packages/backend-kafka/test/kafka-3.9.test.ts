import { connect as connectSocket } from 'node:net';
import type { BackendSuiteOptions } from '@melange/conformance';
import { silentLogger } from '@melange/core';
import { describe, expect, test } from 'vitest';
import { canStartHere, startKafka } from '../../../apps/brokers/src/index.ts';
import { checkBackend } from '../../conformance/src/backend/check-backend.ts';
import { KafkaBackend, type KafkaBackendOptions, kafkaCapabilities } from '../src/index.ts';

const version = '3.9.2';
const reason = canStartHere('kafka') ? '' : ' (skipped: the Kafka of this run was not started by it)';

/** One of each request that the adapter makes. `MELANGE_KAFKA_VERSION` runs everything else on it. */
const behaviours = [
  'publish/envelope-round-trip',
  'publish/missing-queue',
  'retry/honours-delay',
  'dead-letter/original-and-circumstances',
  'ordering/by-key',
  'topics-and-filters/filter',
  'topology/delete-queue',
  'replay/earliest',
  'replay/time',
  'faults/deliveries-outlive-a-cut',
];

describe.skipIf(reason !== '')(`Kafka ${version}, the last one with the old protocols${reason}`, () => {
  test('carries what the current one carries', { timeout: 240_000 }, async (context) => {
    const node = await startKafka({ version }).catch((error: Error) => error);
    if (node instanceof Error) {
      if ((process.env.MELANGE_REQUIRE_BROKERS ?? '') !== '') throw node;
      return context.skip(`it cannot be had: ${node.message}`);
    }
    try {
      const results = await checkBackend(suiteOn(node.url), { only: behaviours });
      const outcomes = results.map(({ id, status }) => [id, status]);
      expect(outcomes.sort()).toEqual(behaviours.map((id) => [id, 'pass']).sort());
    } finally {
      await node.stop();
    }
  });
});

function suiteOn(url: string): BackendSuiteOptions {
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
  const { hostname: host, port } = new URL(url);
  return {
    name: `kafka ${version}`,
    create: () => ({ backend: connect(), another: () => connect() }),
    capabilities: kafkaCapabilities,
    faults: {
      target: { host, port: Number(port) },
      create: (proxy) =>
        connect({
          socketFactory: ({ onConnect }) => connectSocket({ ...proxy, noDelay: true }, onConnect),
        }),
    },
  };
}
