import {
  type Consumer,
  MessageDispatcher,
  type MessageDispatcherOptions,
  SerializerRegistry,
  silentLogger,
} from '@melange/core';
import { type BackendContext, message } from './backend-context.ts';
import { testSerializer } from './test-serializer.ts';

/** A consumer of everything. */
export function consumer(name: string, process: (value: unknown) => void | Promise<void>): Consumer {
  return { name, accepts: () => true, process };
}

/** Publishes values as JSON. */
export async function publishValues(
  context: BackendContext,
  queue: string,
  values: readonly unknown[],
): Promise<void> {
  await context.backend.publishToQueue(
    queue,
    values.map((value) => message(JSON.stringify(value))),
  );
}

/** Consumes the queue while `work` runs, then stops and waits for the loop to end. Reads JSON unless told otherwise. */
export async function running<Result>(
  context: BackendContext,
  queue: string,
  options: Omit<MessageDispatcherOptions, 'serializers' | 'backend'> &
    Partial<Pick<MessageDispatcherOptions, 'serializers'>>,
  consumers: readonly Consumer[],
  work: (dispatching: MessageDispatcher) => Promise<Result>,
  deadlineMs = 5_000,
): Promise<Result> {
  const serializers = new SerializerRegistry({ serializers: { json: testSerializer }, default: 'json' });
  const dispatching = new MessageDispatcher({
    logger: silentLogger,
    serializers,
    ...options,
    backend: context.backend,
  });
  for (const one of consumers) dispatching.attachConsumer(one);
  const stop = new AbortController();
  const loop = dispatching.consumeLoop(queue, { signal: stop.signal, deadlineMs });
  loop.catch(() => {});
  try {
    return await Promise.race([
      work(dispatching),
      loop.then(() => Promise.reject(new Error('the loop ended early'))),
    ]);
  } finally {
    stop.abort();
    await context.soon(loop, 'stopping the loop');
  }
}

/** A promise that is resolved from outside. */
export function deferred(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = () => {};
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

/** Whole numbers from 0. */
export function range(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index);
}

/** For sorting values that are numbers. */
export function ascending(left: unknown, right: unknown): number {
  return Number(left) - Number(right);
}
