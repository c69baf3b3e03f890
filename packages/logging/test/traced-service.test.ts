import { MemoryBackend } from '@melange/backend-memory';
import { jsonLogger } from '@melange/logging';
import { MelangeInstrumentation, traceFacts } from '@melange/opentelemetry';
import { defineMessage, defineService } from '@melange/service';
import { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-node';
import { expect, test, vi } from 'vitest';
import { z } from 'zod';

class OrderPlaced extends defineMessage('OrderPlaced', z.object({ id: z.string() })) {}

test("a handler's lines have message, correlation, queue, attempt and trace, and so has the dispatcher's line of a failure", async () => {
  const exporter = new InMemorySpanExporter();
  const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
  provider.register();
  const instrumentation = new MelangeInstrumentation();
  instrumentation.setTracerProvider(provider);
  const lines: Record<string, unknown>[] = [];
  const logger = jsonLogger({ facts: traceFacts, write: (line) => lines.push(JSON.parse(line)) });
  const billing = defineService({
    name: 'billing',
    backend: new MemoryBackend(),
    messages: [OrderPlaced],
    queues: {
      orders: { deadLetterQueue: 'dead', retry: { maxAttempts: 2, longestDelayMs: 0, delayMs: () => 0 } },
    },
    sends: { orders: [OrderPlaced] },
    logger,
  }).on('orders', OrderPlaced, async ({ id }, context) => {
    await Promise.resolve();
    context.logger.info('charging', { id });
    if (context.attempt === 1) throw new TypeError('the bank is closed');
  });
  await billing.start();
  try {
    await billing.send('orders', new OrderPlaced({ id: '1' }), { id: 'm-1', correlationId: 'checkout-7' });
    await vi.waitFor(() => expect(billing.counters().orders?.acknowledged).toBe(1));
    const runs = exporter.getFinishedSpans().filter(({ name }) => name === 'process orders');
    const facts = { queue: 'orders', messageId: 'm-1', correlationId: 'checkout-7' };
    const ids = runs.map((span) => {
      const { traceId, spanId } = span.spanContext();
      return { traceId, spanId };
    });
    expect(lines.filter(({ message }) => message === 'charging')).toMatchObject([
      { level: 'info', ...facts, attempt: 1, id: '1', ...ids[0] },
      { level: 'info', ...facts, attempt: 2, id: '1', ...ids[1] },
    ]);
    expect(lines.filter(({ error }) => error !== undefined)).toMatchObject([
      { level: 'warn', ...facts, attempt: 1, consumer: 'billing', error: { name: 'TypeError' }, ...ids[0] },
    ]);
    expect(ids).toHaveLength(2);
  } finally {
    await billing.stop();
    instrumentation.disable();
    await provider.shutdown();
  }
  expect(traceFacts()).toEqual({});
});
