import { describeBackend } from '@melange/conformance';
import { silentLogger } from '@melange/core';
import { describe, it } from 'vitest';
import { restartRabbitMq } from '../../../apps/brokers/src/index.ts';
import { RabbitMqBackend, rabbitMqCapabilities } from '../src/index.ts';

const { RABBITMQ_URL: url, MELANGE_RABBITMQ_NODE: node } = process.env;

if (url === undefined) {
  describe('backend rabbitmq', () => {
    it('conforms', (test) => test.skip('RABBITMQ_URL is not set'));
  });
} else {
  const { hostname: host, port } = new URL(url);
  // Lost connections are what the suite makes on purpose: warnings of them would only be noise.
  const connect = (address: string) => new RabbitMqBackend({ url: address, logger: silentLogger });
  describeBackend({
    name: 'rabbitmq',
    create: () => ({ backend: connect(url), another: () => connect(url) }),
    capabilities: rabbitMqCapabilities,
    faults: {
      target: { host, port: Number(port || 5672) },
      create: (address) =>
        connect(Object.assign(new URL(url), { host: `${address.host}:${address.port}` }).href),
      ...(node === undefined ? {} : { restart: () => restartRabbitMq(node, url) }),
    },
  });
}
