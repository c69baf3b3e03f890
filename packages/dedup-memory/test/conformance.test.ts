import { describeDeduplicationCache } from '@melange/conformance';
import { MemoryDeduplicationCache } from '../src/index.ts';

describeDeduplicationCache({
  name: 'memory',
  create: ({ ttlMs }) => {
    let now = 1_700_000_000_000;
    const clock = { now: () => now, schedule: () => () => {} };
    return {
      cache: new MemoryDeduplicationCache({ ttlMs, clock }),
      small: () => new MemoryDeduplicationCache({ ttlMs, maxEntries: 1_000, clock }),
      elapse: (milliseconds) => {
        now += milliseconds;
      },
    };
  },
});
