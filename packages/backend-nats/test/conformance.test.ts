import { describeBackend } from '@melange/conformance';
import { type Logger, warningLogger } from '@melange/core';
import { NatsBackend, natsCapabilities } from '../src/index.ts';

const url = process.env.NATS_URL ?? 'nats://127.0.0.1';
const { hostname: host, port } = new URL(url);
const leaseMs = 2_000;
const target = { host, port: Number(port || 4222) };
const connect = (address = target, logger: Logger = warningLogger): NatsBackend =>
  new NatsBackend({ url: `nats://${address.host}:${address.port}`, logger, leaseMs });

describeBackend({
  name: 'nats',
  create: () => ({ backend: connect(), another: connect }),
  capabilities: natsCapabilities,
  leaseMs,
  faults: { target, create: connect },
});
