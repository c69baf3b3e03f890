import { MemoryBackend } from '@melange/backend-memory';
import { RabbitMqBackend } from '@melange/backend-rabbitmq';
import { bringUp, takeDown } from '@melange/brokers';
import { MelangeError, type MessagingBackend, silentLogger } from '@melange/core';
import type { BackendName, RunOptions } from './arguments.ts';
import type { Backends } from './service.ts';

/** Open backends, and the way to close them and what was started for them. */
export interface OpenBackends {
  readonly backends: Backends;
  close(): Promise<void>;
}

/**
 * A backend for each service; services of one broker share it.
 *
 * @throws MelangeError `BROKER_UNAVAILABLE` when a broker can neither be found nor started.
 */
export async function openBackends(options: RunOptions, log: (line: string) => void): Promise<OpenBackends> {
  const open = new Map<BackendName, MessagingBackend>();
  const started: string[] = [];
  const backendOf = async (name: BackendName): Promise<MessagingBackend> => {
    const backend =
      open.get(name) ?? (name === 'memory' ? new MemoryBackend() : await rabbitMq(started, log));
    open.set(name, backend);
    return backend;
  };
  const { orders, payments, saga } = options.backends;
  const backends: Backends = {
    orders: await backendOf(orders),
    payments: await backendOf(payments),
    saga: await backendOf(saga),
  };
  return {
    backends,
    async close() {
      for (const backend of open.values()) await backend.close();
      if (started.length > 0) await takeDown(started);
    },
  };
}

async function rabbitMq(started: string[], log: (line: string) => void): Promise<MessagingBackend> {
  const [result] = await bringUp(['rabbitmq'], { log });
  if (result === undefined || 'missing' in result) {
    throw new MelangeError('BROKER_UNAVAILABLE', `RabbitMQ cannot be had: ${result?.missing ?? 'unknown'}`);
  }
  if (result.origin === 'package' || result.origin === 'docker compose') started.push('rabbitmq');
  return new RabbitMqBackend({ url: result.url, logger: silentLogger });
}
