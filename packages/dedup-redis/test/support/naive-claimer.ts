import { serveClaimer } from '@melange/conformance/claimer';
import { type Defect, NaiveRedisCache } from './naive-redis-cache.ts';

const [url = '', prefix = '', defect = 'none'] = process.argv.slice(2);

serveClaimer(({ ttlMs }) => new NaiveRedisCache(url, prefix, ttlMs, defect as Defect));
