import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { type Delivery, type Logger, type Message, silentLogger } from '@melange/core';
import { type Admin, Kafka, logLevel } from 'kafkajs';
import { onTestFinished, vi } from 'vitest';
import { KafkaBackend, type KafkaBackendOptions } from '../../src/index.ts';

export const url: string = process.env.KAFKA_URL ?? '';
export const noBroker = 'skipped: KAFKA_URL is not set';
export const address: string = url.replace('kafka://', '');
export const soon = { timeout: 15_000, interval: 20 } as const;

/** A backend that is quick to notice; it is closed after the test. */
export function backendFor(options: Partial<KafkaBackendOptions> = {}): KafkaBackend {
  const backend = new KafkaBackend({
    brokers: [url],
    partitions: 3,
    sessionTimeoutMs: 6_000,
    heartbeatIntervalMs: 200,
    revocationDeadlineMs: 3_000,
    connectTimeoutMs: 1_000,
    logger: silentLogger,
    ...options,
  });
  onTestFinished(() => backend.close());
  return backend;
}

export function unique(): string {
  return `kafka-test-${randomUUID()}`;
}

/** A name of a queue that is deleted after the test. */
export function queueName(backend: KafkaBackend): string {
  const name = unique();
  onTestFinished(async () => {
    const janitor = new KafkaBackend({ brokers: [url], logger: silentLogger });
    await janitor.deleteQueue(name);
    await janitor.close();
    await backend.close();
  });
  return name;
}

export function message(content: Message['content'], fields: Partial<Message> = {}): Message {
  return {
    id: randomUUID(),
    content,
    manifest: 'Test',
    serializerId: 1,
    key: undefined,
    headers: {},
    publishedAt: Date.now(),
    ...fields,
  };
}

/** Keeps what arrives. */
export function inbox(handle: (delivery: Delivery) => unknown = () => undefined): {
  readonly deliveries: Delivery[];
  readonly receive: (delivery: Delivery) => void;
  readonly contents: () => unknown[];
} {
  const deliveries: Delivery[] = [];
  return {
    deliveries,
    receive(delivery) {
      deliveries.push(delivery);
      void handle(delivery);
    },
    contents: () => deliveries.map((delivery) => delivery.message.content),
  };
}

/** A logger that keeps its lines. */
export function recordingLogger(): Logger & { readonly lines: string[] } {
  const lines: string[] = [];
  const keep = (line: string): void => void lines.push(line);
  return { lines, debug: () => undefined, info: keep, warn: keep, error: keep };
}

/** Runs kcat, a client that is not ours. */
export function kcat(parameters: readonly string[], input = ''): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile('kcat', ['-b', address, ...parameters], (error, stdout) =>
      error === null ? resolve(stdout) : reject(error),
    );
    child.stdin?.end(input);
  });
}

/** An admin of another client, closed after the test. */
export async function foreignAdmin(): Promise<Admin> {
  const admin = new Kafka({ brokers: [new URL(url).host], logLevel: logLevel.NOTHING }).admin();
  await admin.connect();
  onTestFinished(() => admin.disconnect());
  return admin;
}

/** Resolves when so many have arrived. */
export async function arrived(deliveries: readonly unknown[], count: number): Promise<void> {
  await vi.waitFor(() => {
    if (deliveries.length < count) throw new Error(`${deliveries.length} of ${count} arrived`);
  }, soon);
}
