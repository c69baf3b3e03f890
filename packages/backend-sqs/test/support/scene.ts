import { randomUUID } from 'node:crypto';
import type { Delivery, Message } from '@melange/core';
import { afterEach, vi } from 'vitest';
import type { SqsBackend, SqsBackendOptions } from '../../src/index.ts';
import { connect } from './broker.ts';
import { HttpProxy } from './http-proxy.ts';

const opened: AsyncDisposable[] = [];

afterEach(async () => {
  await Promise.all(opened.splice(0).map((one) => one[Symbol.asyncDispose]()));
});

/** The emulator that the whole run shares; tests have queues of their own. */
export const sharedUrl: string | undefined = process.env.SQS_URL;

/** Why there is nothing to test with; for `describe.skipIf`. */
export const isMissing: boolean = sharedUrl === undefined;

/** Who writes the requests: Melange from the templates of the SDK, or the SDK all of them, as it does in Lambda. */
export const writers: readonly { readonly writer: string; readonly lambda: string | undefined }[] = [
  { writer: 'Melange', lambda: undefined },
  { writer: 'the SDK', lambda: 'orders' },
];

/** A backend that is closed after the test. */
export function backendAt(url: string, options?: SqsBackendOptions): SqsBackend {
  const backend = connect(url, options);
  opened.push(backend);
  return backend;
}

/** A backend that reaches the shared emulator through a proxy. */
export async function throughProxy(
  options?: SqsBackendOptions,
): Promise<{ readonly backend: SqsBackend; readonly proxy: HttpProxy }> {
  const proxy = await HttpProxy.start(sharedUrl as string);
  const backend = backendAt(proxy.url, options);
  // The backend is closed before the proxy.
  opened.push({
    [Symbol.asyncDispose]: async () => backend.close().then(() => proxy[Symbol.asyncDispose]()),
  });
  return { backend, proxy };
}

/**
 * A queue of its own, and a backend that reaches it through a proxy. One message was published, received and deleted,
 * of which the proxy knows nothing: the requests that follow are written as most of a service's are.
 */
export async function queueThroughProxy(
  options?: SqsBackendOptions,
  suffix?: string,
): Promise<{ readonly backend: SqsBackend; readonly proxy: HttpProxy; readonly queue: string }> {
  const { backend, proxy } = await throughProxy(options);
  const queue = uniqueName(suffix);
  await backend.declareQueue(queue);
  await backend.publishToQueue(queue, [message('first')]);
  await drain(backend, queue);
  proxy.calls.length = 0;
  return { backend, proxy, queue };
}

/** Waits for what comes sooner or later: how soon is not what is tested, and a busy machine takes its time. */
export async function eventually(check: () => unknown): Promise<void> {
  await vi.waitFor(check, { timeout: 20_000, interval: 20 });
}

/** A name that nobody else uses. */
export function uniqueName(suffix = ''): string {
  return `test-${randomUUID()}${suffix}`;
}

/** A message with an id of its own. */
export function message(content: Message['content'], fields: Partial<Message> = {}): Message {
  return {
    id: randomUUID(),
    content,
    manifest: 'Test',
    serializerId: 1,
    key: undefined,
    headers: {},
    publishedAt: undefined,
    ...fields,
  };
}

/** So many messages, numbered from 0. */
export function numbered(count: number, fields: Partial<Message> = {}): Message[] {
  return Array.from({ length: count }, (_, index) => message(String(index), fields));
}

/** Keeps what arrives, and runs `handle` for it. */
export async function receive(
  backend: SqsBackend,
  queue: string,
  options: { maxInFlight?: number; untilEmpty?: boolean } = {},
  handle: (delivery: Delivery) => unknown = () => undefined,
) {
  const deliveries: Delivery[] = [];
  const subscription = await backend.subscribe(queue, { maxInFlight: 10, ...options }, (delivery) => {
    deliveries.push(delivery);
    void handle(delivery);
  });
  return {
    deliveries,
    subscription,
    contents: () => deliveries.map((delivery) => delivery.message.content),
  };
}

/** Everything that the queue holds, acknowledged. */
export async function drain(backend: SqsBackend, queue: string): Promise<Message[]> {
  const { deliveries, subscription } = await receive(backend, queue, { untilEmpty: true }, (delivery) =>
    delivery.acknowledge(),
  );
  await subscription.ended;
  await subscription.close();
  return deliveries.map((delivery) => delivery.message);
}
