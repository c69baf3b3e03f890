import { serveClaimer } from '../../src/cache/claimer.ts';
import { NaiveCache } from './naive-cache.ts';

// As a connection to a store would.
setInterval(() => undefined, 60_000);

serveClaimer(({ ttlMs }) => new NaiveCache({ ttlMs, now: Date.now }, {}));
