import { randomUUID } from 'node:crypto';
import { SqsBackend } from '@melange/backend-sqs';
import { defineMessage, fixedDelays, type Message, QueuePublisher, silentLogger } from '@melange/core';
import { defineService, type HandlerContext, type QueueDeclaration } from '@melange/service';
import { afterEach, onTestFinished } from 'vitest';
import { z } from 'zod';
import { type InvocationContext, type LambdaHandlerOptions, lambdaHandler } from '../../src/index.ts';
import { SqsEventSource } from './event-source.ts';

export class OrderPlaced extends defineMessage('OrderPlaced', z.object({ id: z.string() })) {}

export const url: string | undefined = process.env.SQS_URL;
export const isMissing: boolean = url === undefined;

const opened: AsyncDisposable[] = [];

afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one[Symbol.asyncDispose]();
});

/** A name that nobody else uses. */
export function uniqueName(suffix = ''): string {
  return `lambda-${randomUUID()}${suffix}`;
}

/** A backend that is closed after the test. */
export function backendFor(endpoint = url as string): SqsBackend {
  const backend = new SqsBackend({
    client: {
      region: 'us-east-1',
      endpoint,
      credentials: { accessKeyId: 'test', secretAccessKey: 'test' },
    },
    emptyAfterSeconds: 0,
    logger: silentLogger,
  });
  opened.push(backend);
  return backend;
}

/** What Lambda says of an invocation that ends in so many ms. */
export function contextFor(timeoutMs = 60_000): InvocationContext {
  const end = performance.now() + timeoutMs;
  return { getRemainingTimeInMillis: () => end - performance.now() };
}

export type Handle = (order: OrderPlaced, context: HandlerContext) => unknown;

/** A service with one queue on SQS, its handler for Lambda, and the event source. */
export async function scene(
  handle: Handle,
  declaration: Omit<QueueDeclaration, 'deadLetterQueue'> & {
    readonly suffix?: string;
    readonly endpoint?: string;
  } = {},
  options: LambdaHandlerOptions = {},
) {
  const { suffix = '', endpoint, ...queueDeclaration } = declaration;
  const [queue, deadLetterQueue] = [uniqueName(suffix), uniqueName(suffix)];
  const backend = backendFor(endpoint);
  const service = defineService({
    name: 'billing',
    backend,
    messages: [OrderPlaced],
    queues: { [queue]: { retry: fixedDelays([0, 0]), deadLetterQueue, ...queueDeclaration } },
    logger: silentLogger,
  });
  service.on(queue, OrderPlaced, async (order, context) => {
    await handle(order, context);
  });
  await backend.declareQueue(queue, { deadLetterQueue });
  const source = new SqsEventSource(url as string, queue);
  opened.push(source);
  const handler = lambdaHandler(service, queue, { logger: silentLogger, ...options });
  const publisher = new QueuePublisher({ backend, serializers: service.serializers });
  return {
    queue,
    deadLetterQueue,
    backend,
    service,
    source,
    handler,
    /** Invokes the handler as if it had so much time. */
    invoke: (event: Parameters<typeof handler>[0], timeoutMs?: number) =>
      handler(event, contextFor(timeoutMs)),
    /** Publishes orders of these ids, in order, whose messages have them too. */
    publish: (ids: readonly string[], key?: string) =>
      publisher.publishBatch(
        queue,
        ids.map((id) => ({ value: new OrderPlaced({ id }), ...(key !== undefined && { key }) })),
      ),
    deadLetters: () => contentsOf(backend, deadLetterQueue),
    left: () => contentsOf(backend, queue),
  };
}

/** What a queue holds and is visible, taken out of it. */
export async function contentsOf(backend: SqsBackend, queue: string): Promise<readonly Message[]> {
  const messages: Message[] = [];
  const subscription = await backend.subscribe(queue, { maxInFlight: 10, untilEmpty: true }, (delivery) => {
    messages.push(delivery.message);
    void delivery.acknowledge();
  });
  await subscription.ended;
  await subscription.close();
  return messages;
}

/** A promise that is resolved from outside, at the end of the test at the latest. */
export function gate(): { readonly opens: Promise<void>; readonly open: () => void } {
  let open = (): void => undefined;
  const opens = new Promise<void>((resolve) => {
    open = resolve;
  });
  onTestFinished(() => open());
  return { opens, open };
}
