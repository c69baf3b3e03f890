import { describeDeduplicationCache } from '@melange/conformance';
import { MemoryDeduplicationCache } from '../src/index.ts';

describeDeduplicationCache({
  name: 'memory',
  create: ({ ttlMs }) => {
    let now = 0;
    const clock = { now: Date.now, monotonicNow: () => now, schedule: () => () => {} };
    return {
      cache: new MemoryDeduplicationCache({ ttlMs, clock }),
      small: () => new MemoryDeduplicationCache({ ttlMs, maxEntries: 1_000, clock }),
      elapse: (milliseconds) => {
        now += milliseconds;
      },
    };
  },
});
