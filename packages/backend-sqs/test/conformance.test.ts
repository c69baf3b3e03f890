import { describeBackend } from '@melange/conformance';
import { afterAll, describe, it } from 'vitest';
import { startSqs } from '../../../apps/brokers/src/index.ts';
import { sqsCapabilities } from '../src/index.ts';
import { connect } from './support/broker.ts';

const { SQS_URL: shared } = process.env;

if (shared === undefined) {
  describe('backend sqs', () => {
    it('conforms', (test) => test.skip('SQS_URL is not set'));
  });
} else {
  // `SQS_URL_ONLY=1` tests what listens there; else it is one of our own, which can be restarted.
  const own = process.env.SQS_URL_ONLY === undefined ? await startSqs() : undefined;
  if (own !== undefined) afterAll(() => own.stop());
  const url = own?.url ?? shared;
  const { hostname: host, port } = new URL(url);
  const options = { visibilityTimeoutSeconds: 10, connectTimeoutMs: 2_000 };
  describeBackend({
    name: 'sqs',
    create: () => ({ backend: connect(url, options), another: () => connect(url, options) }),
    capabilities: sqsCapabilities,
    leaseMs: 10_000,
    faults: {
      target: { host, port: Number(port) },
      // What a broken connection carried comes again when its visibility is over: sooner than the suite loses patience.
      create: ({ host, port }, logger) =>
        connect(`http://${host}:${port}`, { ...options, visibilityTimeoutSeconds: 4, logger }),
      leaseMs: 4_000,
      ...(own !== undefined && { restart: () => own.restart() }),
    },
  });
}
