import { type Backend, type BackendClass, defineBackend } from '@melange/backend-kit';
import type { QueueOptions } from '@melange/core';
import { browsing } from './browse.ts';
import { postgresCapabilities } from './capabilities.ts';
import { PostgresClient } from './client/postgres-client.ts';
import { consuming } from './consume/take.ts';
import { explain } from './errors.ts';
import { type PostgresBackendOptions, settingsOf } from './options.ts';
import { publishing } from './publish.ts';
import { topology } from './topology.ts';

/** Carries Melange over Postgres: on a server, or by PGlite in a folder, which needs none. */
export const PostgresBackend: BackendClass<PostgresBackendOptions, typeof postgresCapabilities> =
  defineBackend({
    name: 'postgres',
    capabilities: postgresCapabilities,
    driver(options: PostgresBackendOptions, context) {
      const client = new PostgresClient(settingsOf(options), context);
      return {
        names: { maxBytes: 255, allowed: /^[^\0\p{Surrogate}]*$/u },
        connection: client,
        topology: topology(client, context),
        publishing: publishing(client),
        consuming: consuming(client, context),
        browsing: browsing(client),
        explain,
        close: () => client.close(),
      };
    },
  });
/** An instance of `PostgresBackend`. */
export type PostgresBackend = Backend<typeof postgresCapabilities, QueueOptions>;
