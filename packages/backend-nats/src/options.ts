import type { BackendOptions } from '@melange/backend-kit';
import { MelangeError } from '@melange/core';
import { checkDelayMs, checkWholeNumber } from '@melange/core/adapter';
import type { NodeConnectionOptions } from '@nats-io/transport-node';

/** Settings of `NatsBackend`. */
export interface NatsBackendOptions extends BackendOptions {
  /** Address of a server, or of several of one cluster: `nats://user:password@host:4222`, `nats://token@host`, `tls://host`. */
  readonly url: string | readonly string[];
  /** What the client library needs besides: TLS, an authenticator for keys and credentials files, a prefix of inboxes. */
  readonly client?: Pick<NodeConnectionOptions, 'tls' | 'authenticator' | 'inboxPrefix' | 'name'>;
  /** Longest time to connect, in ms. Default: 10,000. */
  readonly connectTimeoutMs?: number;
  /**
   * For how long the broker gives a message, in ms, renewed while its handler runs: a crashed process's messages come again after
   * it. Of queues that this backend makes; one that exists keeps its own. Default: 30,000.
   */
  readonly leaseMs?: number;
  /** Servers of the cluster that keep each message, of queues that this backend makes: 1, 3 or 5. Default: 1. */
  readonly replicas?: number;
}

/** Settings with their defaults. */
export type NatsSettings = Required<Omit<NatsBackendOptions, keyof BackendOptions | 'url'>> & {
  readonly requestTimeoutMs: number;
  readonly servers: readonly URL[];
};

/** @throws MelangeError `CONFIGURATION` when a value makes no sense. */
export function settingsOf({ url, client = {}, ...options }: NatsBackendOptions): NatsSettings {
  const { connectTimeoutMs = 10_000, requestTimeoutMs = 10_000, leaseMs = 30_000, replicas = 1 } = options;
  const urls = [url].flat();
  if (urls.length === 0 || !urls.every((one) => URL.canParse(one) && new URL(one).host !== ''))
    throw new MelangeError('CONFIGURATION', 'url must be an address such as nats://localhost:4222.');
  checkDelayMs('connectTimeoutMs', connectTimeoutMs);
  checkDelayMs('requestTimeoutMs', requestTimeoutMs);
  checkWholeNumber('leaseMs', leaseMs, 1_000);
  checkWholeNumber('replicas', replicas, 1);
  const servers = urls.map((one) => new URL(one));
  return { servers, client, connectTimeoutMs, requestTimeoutMs, leaseMs, replicas };
}
