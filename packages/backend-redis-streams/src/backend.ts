import { type BackendClass, type Driver, type DriverContext, defineBackend } from '@melange/backend-kit';
import type { QueueOptions } from '@melange/core';
import { browsing } from './browse.ts';
import { redisStreamsCapabilities } from './capabilities.ts';
import { RedisClient } from './client.ts';
import { type TakenEntry, takingEntries } from './consume/source.ts';
import { explain } from './errors.ts';
import { type RedisStreamsBackendOptions, settingsOf } from './options.ts';
import { type OutgoingEntry, publishing } from './publish.ts';
import { topology } from './topology/queues.ts';

/** Carries Melange over Redis: a stream and its consumer group for each queue. */
export const RedisStreamsBackend: BackendClass<RedisStreamsBackendOptions, typeof redisStreamsCapabilities> =
  defineBackend({ name: 'redis-streams', capabilities: redisStreamsCapabilities, driver });
/** An instance of `RedisStreamsBackend`. */
export type RedisStreamsBackend = InstanceType<typeof RedisStreamsBackend>;

function driver(
  options: RedisStreamsBackendOptions,
  context: DriverContext,
): Driver<QueueOptions, OutgoingEntry, TakenEntry> {
  const settings = settingsOf(options);
  const client = new RedisClient(settings, options, context);
  return {
    // Names are parts of keys, which may be long: the bound is for people.
    names: { maxBytes: 1_024 },
    connection: client,
    topology: topology(client, context.logger),
    browsing: browsing(client),
    publishing: publishing(client, redisStreamsCapabilities.maxMessageBytes),
    consuming: takingEntries(client, settings, context.clock),
    explain,
    close: () => client.close(),
  };
}
