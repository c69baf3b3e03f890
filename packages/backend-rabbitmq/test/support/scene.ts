import { randomUUID } from 'node:crypto';
import { type Delivery, type Message, silentLogger } from '@melange/core';
import { type ConfirmChannel, connect } from 'amqplib';
import { onTestFinished, vi } from 'vitest';
import { RabbitMqBackend, type RabbitMqBackendOptions } from '../../src/index.ts';

/** Address of the broker; tests that need it are skipped without. */
export const url: string = process.env.RABBITMQ_URL ?? '';

/** Why tests are skipped. */
export const noBroker = 'no RabbitMQ: set RABBITMQ_URL or run pnpm brokers up rabbitmq';

/** A name that no other test uses. */
export function unique(): string {
  return `rabbitmq-test-${randomUUID()}`;
}

/** A backend that is closed after the test. */
export function backendFor(options: Partial<RabbitMqBackendOptions> = {}): RabbitMqBackend {
  const backend = new RabbitMqBackend({ url, logger: silentLogger, ...options });
  onTestFinished(() => backend.close());
  return backend;
}

/** A name for a queue, which is deleted after the test with whatever belongs to it. */
export function queueName(backend: RabbitMqBackend): string {
  const name = unique();
  onTestFinished(() => backend.deleteQueue(name));
  return name;
}

/** A channel that does what the backend would not. */
export async function rawChannel(): Promise<ConfirmChannel> {
  const connection = await connect(url);
  connection.on('error', () => undefined);
  const channel = await connection.createConfirmChannel();
  channel.on('error', () => undefined);
  onTestFinished(() => connection.close().catch(() => undefined));
  return channel;
}

/** A message with that content. */
export function message(content: string, id: string = randomUUID()): Message {
  return {
    id,
    content,
    manifest: 'Note',
    serializerId: 1,
    key: undefined,
    headers: {},
    publishedAt: Date.now(),
  };
}

/** What a subscription was handed, in order. */
export interface Inbox {
  readonly deliveries: Delivery[];
  receive(delivery: Delivery): void;
}

/** @param handle what is done with each delivery; nothing by default. */
export function inbox(handle: (delivery: Delivery) => unknown = () => undefined): Inbox {
  const deliveries: Delivery[] = [];
  return {
    deliveries,
    receive(delivery) {
      deliveries.push(delivery);
      handle(delivery);
    },
  };
}

/** Resolves when so many have arrived. */
export async function arrived(deliveries: readonly unknown[], count: number): Promise<void> {
  await vi.waitFor(
    () => {
      if (deliveries.length < count) throw new Error(`${deliveries.length} of ${count} arrived`);
    },
    { timeout: 15_000, interval: 20 },
  );
}
