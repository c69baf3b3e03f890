import { describeBackend } from '@melange/conformance';
import { afterAll } from 'vitest';
import { LeasingBackend, leasingCapabilities } from './support/leasing-broker.ts';
import { PushingBackend, PushingBroker, pushingCapabilities } from './support/pushing-broker.ts';
import { Store } from './support/store.ts';
import { startEcho } from './support/wire.ts';

const quietMs = 50;
const leaseMs = 900;
const store = new Store();
const broker = new PushingBroker();

// Both brokers live in this process; their answers come over a real connection, which the suite breaks.
const echo = await startEcho();
afterAll(() => echo.stop());

describeBackend({
  name: 'the kit on a broker that leases',
  create: () => ({
    backend: new LeasingBackend({ store, leaseMs }),
    another: () => new LeasingBackend({ store, leaseMs }),
  }),
  capabilities: leasingCapabilities,
  leaseMs,
  faults: {
    target: echo.address,
    create: (address, logger) => new LeasingBackend({ store, leaseMs, address, logger }),
  },
  quietMs,
});

describeBackend({
  name: 'the kit on a broker that pushes',
  create: () => ({
    backend: new PushingBackend({ broker }),
    another: () => new PushingBackend({ broker }),
  }),
  capabilities: pushingCapabilities,
  faults: {
    target: echo.address,
    create: (address, logger) => new PushingBackend({ broker, address, logger }),
  },
  quietMs,
});
