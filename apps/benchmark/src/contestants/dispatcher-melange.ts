import {
  type Message,
  MessageDispatcher,
  type Middleware,
  SerializerRegistry,
  SingleDispatchConsumer,
} from '@melange/core';
import { MemoryDeduplicationCache } from '@melange/dedup-memory';
import { JsonSerializer } from '@melange/serializer-json';
import { bytesAllocatedBy } from '../allocated.ts';
import type { Contestant } from '../contestant.ts';
import { InstantBackend } from '../instant-backend.ts';
import { handle, OrderPlaced } from '../order.ts';

const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';

/**
 * The dispatcher alone. `types` classes of messages in turn, spread over `consumers` consumers; with `cache` a
 * deduplication cache in memory; with so many `middlewares`; `traced` messages carry the context of their producer.
 */
const contestant: Contestant = async ({ queue, warmUp, messages, inFlight, parameters }, meter) => {
  const {
    types: typeCount = 1,
    consumers: consumerCount = 1,
    cache = 0,
    middlewares = 0,
    traced = 0,
  } = parameters;
  const headers: Record<string, string> = traced === 1 ? { traceparent } : {};
  const types = Array.from(
    { length: typeCount },
    (_, index) =>
      class extends OrderPlaced {
        static readonly manifest: string = `OrderPlaced${index}`;
      },
  );
  const serializers = new SerializerRegistry({
    serializers: { json: new JsonSerializer(types) },
    default: 'json',
  });
  const incoming: Message[] = [];
  for (const [index, type] of types.entries()) {
    const sealed = await serializers.serialize(new type(index));
    incoming.push({ id: '', key: undefined, headers, publishedAt: 0, ...sealed });
  }
  const dispatcher = new MessageDispatcher({
    backend: new InstantBackend(incoming),
    serializers,
    concurrency: inFlight,
    middleware: Array.from({ length: middlewares }, () => (async (_, next) => next()) as Middleware),
    ...(cache === 1 && { cache: new MemoryDeduplicationCache() }),
  });
  let handled = 0;
  let isOver = (): void => undefined;
  const over = new Promise<void>((resolve) => {
    isOver = resolve;
  });
  const consumers = Array.from(
    { length: consumerCount },
    (_, index) => new SingleDispatchConsumer(`consumer-${index}`),
  );
  for (const [index, type] of types.entries()) {
    consumers[index % consumerCount]?.on(type, async (order) => {
      await handle(order);
      meter.handled();
      handled += 1;
      if (handled === warmUp + 2 * messages) isOver();
    });
  }
  for (const consumer of consumers) dispatcher.attachConsumer(consumer);
  const consuming = dispatcher.consumeLoop(queue);
  await Promise.race([meter.ended, consuming]);
  // As many again after the measured window.
  const bytes = await bytesAllocatedBy(() => over);
  meter.report('bytes/message', bytes / messages);
  await dispatcher.close();
  await consuming;
};

export default contestant;
