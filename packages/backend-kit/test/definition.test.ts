import { describe, expect, it } from 'vitest';
import { type BackendOptions, type DriverContext, defineBackend } from '../src/index.ts';
import { leasingCapabilities } from './support/leasing-broker.ts';
import { explain, Store, storePublishing, storeTopology, turn } from './support/store.ts';

const store = new Store();

/** A driver that counts what it is asked. */
function counting(_: BackendOptions, context: DriverContext) {
  return {
    calls: 0,
    names: { maxBytes: 20 },
    topology: storeTopology(store, context),
    publishing: storePublishing(store, turn),
    consuming: { kind: 'pull' as const, open: () => Promise.reject(new Error('not in this test')) },
    explain,
    close: () => undefined,
  };
}

const Counting = defineBackend({
  name: 'counting',
  capabilities: leasingCapabilities,
  driver: counting,
  methods(driver, backend) {
    const describeQueue = backend.describeQueue.bind(backend);
    return {
      get calls() {
        return driver.calls;
      },
      async describeQueue(name: string) {
        driver.calls += 1;
        return { ...(await describeQueue(name)), depth: 7 };
      },
    };
  },
});

describe('methods of an adapter', () => {
  it('have the driver with all that it has, getters included, and may take the place of the methods of a backend', async () => {
    const backend = new Counting();
    expect(backend.calls).toBe(0);
    await backend.declareQueue('q');
    expect(await backend.describeQueue('q')).toMatchObject({ exists: true, depth: 7 });
    expect(backend.calls).toBe(1);
    expect(new Counting().calls).toBe(0);
    await backend.close();
  });
});

describe('the options of a backend', () => {
  it('may be left out where none is required, and not where one is', () => {
    expect(new Counting().name).toBe('counting');
    const Located = defineBackend({
      name: 'located',
      capabilities: leasingCapabilities,
      driver(options: BackendOptions & { readonly url: string }, context) {
        if (options.url === undefined) throw new Error('no url');
        return counting(options, context);
      },
    });
    // @ts-expect-error the url is required
    expect(() => new Located()).toThrow('no url');
  });
});
