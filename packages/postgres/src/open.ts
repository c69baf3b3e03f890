import type { PostgresConnection } from './connection.ts';
import { openEmbedded } from './embedded.ts';
import { checkPostgresOptions, type PostgresOptions } from './options.ts';
import { openServer } from './server.ts';

/**
 * Opens a database, on a server or in a folder: both behave alike. Connects on first use.
 *
 * @throws MelangeError `CONFIGURATION` unless exactly one source is given.
 */
export function openPostgres(options: PostgresOptions): PostgresConnection {
  checkPostgresOptions(options);
  return options.directory !== undefined || options.pglite !== undefined
    ? openEmbedded(options)
    : openServer(options);
}
