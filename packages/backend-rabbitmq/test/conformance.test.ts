import { describeBackend } from '@melange/conformance';
import { silentLogger } from '@melange/core';
import { afterAll, describe, it } from 'vitest';
import { canStartHere, startRabbitMq } from '../../../apps/brokers/src/index.ts';
import { RabbitMqBackend, rabbitMqCapabilities } from '../src/index.ts';

const { RABBITMQ_URL: shared } = process.env;

if (shared === undefined) {
  describe('backend rabbitmq', () => {
    it('conforms', (test) => test.skip('RABBITMQ_URL is not set'));
  });
} else {
  // One of our own where it can be had: the suite restarts it.
  const own = canStartHere('rabbitmq') ? await startRabbitMq() : undefined;
  if (own !== undefined) afterAll(() => own.stop());
  const url = own?.url ?? shared;
  const { hostname: host, port } = new URL(url);
  const connect = (address: string, logger = silentLogger) => new RabbitMqBackend({ url: address, logger });
  describeBackend({
    name: 'rabbitmq',
    create: () => ({ backend: connect(url), another: () => connect(url) }),
    capabilities: rabbitMqCapabilities,
    faults: {
      target: { host, port: Number(port || 5672) },
      create: (address, logger) =>
        connect(Object.assign(new URL(url), { host: `${address.host}:${address.port}` }).href, logger),
      ...(own !== undefined && { restart: () => own.restart() }),
    },
  });
}
