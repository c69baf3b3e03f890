import { MemoryBackend } from '@melange/backend-memory';
import { MessageDispatcher, QueuePublisher, SerializerRegistry, silentLogger } from '@melange/core';
import { queueLoads } from '@melange/metrics';
import { JsonSerializer } from '@melange/serializer-json';
import { expect, test, vi } from 'vitest';

const serializers = new SerializerRegistry({ serializers: { json: new JsonSerializer() }, default: 'json' });

/** Two messages that are being processed, and three that wait. */
async function busy(backend: MemoryBackend) {
  await backend.declareQueue('orders');
  await new QueuePublisher({ backend, serializers }).publishBatch(
    'orders',
    Array.from({ length: 5 }, (_, n) => ({ value: { n } })),
  );
  let goOn = (): void => undefined;
  const wait = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  const dispatcher = new MessageDispatcher({ backend, serializers, logger: silentLogger, concurrency: 2 });
  dispatcher.attachConsumer({ name: 'billing', accepts: () => true, process: () => wait });
  const consuming = dispatcher.consumeLoop('orders');
  await vi.waitFor(() => expect(dispatcher.running).toBe(2));
  const end = async (): Promise<void> => {
    goOn();
    await dispatcher.close();
    await consuming;
  };
  return { dispatcher, end };
}

test('what is in flight counts as work, so that a scaler stops no worker that still works', async () => {
  const { dispatcher, end } = await busy(new MemoryBackend());
  expect(await queueLoads(dispatcher)).toEqual({ orders: { waiting: 3, inFlight: 2, total: 5 } });
  await end();
});

test('a broker that does not tell what is in flight, or is away, leaves what this process holds', async () => {
  const backend = new MemoryBackend();
  const { dispatcher, end } = await busy(backend);
  const describing = vi.spyOn(backend, 'describeQueue');
  describing.mockResolvedValueOnce({ exists: true, depth: 7, deadLetterQueue: undefined });
  expect(await queueLoads(dispatcher, { depthIntervalMs: 0 })).toEqual({
    orders: { waiting: 7, inFlight: 2, total: 9 },
  });
  describing.mockRejectedValueOnce(new Error('away'));
  expect(await queueLoads(dispatcher)).toEqual({ orders: { waiting: 0, inFlight: 2, total: 2 } });
  await end();
});
