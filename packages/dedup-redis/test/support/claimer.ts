import { serveClaimer } from '@melange/conformance/claimer';
import { RedisDeduplicationCache } from '../../src/index.ts';

const [url = '', namespace = ''] = process.argv.slice(2);

serveClaimer(({ ttlMs }) => new RedisDeduplicationCache({ url, namespace, ttlMs }));
