import type { MessagingBackend, SerializerRegistry } from '@melange/core';
import type { AnyService } from '@melange/service';

/** What `melange.config.ts` exports by default: where the command finds brokers, queues and schemas. */
export interface MelangeConfig {
  /** Services: their backends, queues, message classes and serializers. Nothing of them is started. Default: none. */
  readonly services?: readonly AnyService[];
  /** Further backends by name. Default: none. */
  readonly backends?: Readonly<Record<string, MessagingBackend>>;
  /** Further queues to show, beside those of the services. Default: none. */
  readonly queues?: readonly string[];
  /** Reads the contents of messages that no service knows. Default: text that is JSON is read as JSON. */
  readonly serializers?: SerializerRegistry;
}

/** The same config: for an editor to complete and the compiler to check. */
export function defineConfig(config: MelangeConfig): MelangeConfig {
  return config;
}
