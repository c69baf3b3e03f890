import { describeBackend } from '@melange/conformance';
import { LeasingBackend, leasingCapabilities } from './support/leasing-broker.ts';
import { PushingBackend, PushingBroker, pushingCapabilities } from './support/pushing-broker.ts';
import { Store } from './support/store.ts';

// Nothing is far away: what happens at all happens soon.
const bounds = { patienceMs: 5_000, quietMs: 50 };

describeBackend({
  name: 'the kit on a broker that leases',
  create: () => {
    const store = new Store();
    return { backend: new LeasingBackend({ store }), another: () => new LeasingBackend({ store }) };
  },
  capabilities: leasingCapabilities,
  ...bounds,
});

describeBackend({
  name: 'the kit on a broker that pushes',
  create: () => {
    const broker = new PushingBroker();
    return { backend: new PushingBackend({ broker }), another: () => new PushingBackend({ broker }) };
  },
  capabilities: pushingCapabilities,
  ...bounds,
});
