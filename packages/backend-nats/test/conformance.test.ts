import { canStartHere, startNats } from '@melange/brokers';
import { describeBackend } from '@melange/conformance';
import { type Logger, warningLogger } from '@melange/core';
import { afterAll, test } from 'vitest';
import { NatsBackend, natsCapabilities } from '../src/index.ts';

const { NATS_URL: url } = process.env;
const leaseMs = 2_000;

if (url === undefined) {
  test.skip('the conformance suite on NATS: there is none', () => undefined);
} else {
  // Its restarts would be seen by other test files, which run at the same time.
  const own = canStartHere('nats') ? await startNats() : undefined;
  afterAll(() => own?.stop());
  const { hostname: host, port } = new URL(own?.url ?? url);
  const target = { host, port: Number(port || 4222) };
  const connect = (address = target, logger: Logger = warningLogger): NatsBackend =>
    new NatsBackend({ url: `nats://${address.host}:${address.port}`, logger, leaseMs });

  describeBackend({
    name: 'nats',
    create: () => ({ backend: connect(), another: connect }),
    capabilities: natsCapabilities,
    leaseMs,
    faults: { target, create: connect, ...(own !== undefined && { restart: () => own.restart() }) },
  });
}
