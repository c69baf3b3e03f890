import { serveClaimer } from '@melange/conformance/claimer';
import { openPostgres } from '@melange/postgres';
import { PostgresDeduplicationCache } from '../../src/index.ts';

const [url = '', schema = ''] = process.argv.slice(2);

serveClaimer(
  ({ ttlMs }) => new PostgresDeduplicationCache({ connection: openPostgres({ url }), schema, ttlMs }),
);
