import { type Backend, type BackendClass, defineBackend } from '@melange/backend-kit';
import type { QueueOptions } from '@melange/core';
import { natsCapabilities } from './capabilities.ts';
import { NatsClient } from './client.ts';
import { consuming } from './consume.ts';
import { explain } from './errors.ts';
import { type NatsBackendOptions, settingsOf } from './options.ts';
import { publishing } from './publish.ts';
import { topology } from './topology.ts';

/** Carries Melange over NATS JetStream. */
export const NatsBackend: BackendClass<NatsBackendOptions, typeof natsCapabilities> = defineBackend({
  name: 'nats',
  capabilities: natsCapabilities,
  driver(options: NatsBackendOptions, context) {
    const client = new NatsClient(settingsOf(options), context);
    return {
      // Names are one token of a subject.
      names: { maxBytes: 200, allowed: /^[\w-]+$/ },
      connection: client,
      topology: topology(client, context),
      publishing: publishing(client),
      consuming: consuming(client, context),
      explain,
      close: () => client.close(),
    };
  },
});
/** An instance of `NatsBackend`. */
export type NatsBackend = Backend<typeof natsCapabilities, QueueOptions>;
