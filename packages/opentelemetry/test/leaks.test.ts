import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { MemoryBackend } from '@melange/backend-memory';
import { trace } from '@opentelemetry/api';
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';
import { expect, test } from 'vitest';
import { MelangeInstrumentation } from '../src/index.ts';
import { Scene } from './support/scene.ts';

setFlagsFromString('--expose-gc');
const collect: () => void = runInNewContext('gc');

function heap(): number {
  collect();
  collect();
  return process.memoryUsage().heapUsed;
}

test('100,000 messages leave no context behind', { timeout: 240_000 }, async () => {
  const ignoring = {
    export: (_: unknown, done: (result: { code: number }) => void) => done({ code: 0 }),
    shutdown: async () => undefined,
  };
  const provider = new NodeTracerProvider({ spanProcessors: [new BatchSpanProcessor(ignoring)] });
  provider.register();
  const instrumentation = new MelangeInstrumentation({ receiveSpans: true, settleSpans: true });
  instrumentation.setTracerProvider(provider);
  try {
    const scene = await Scene.open(new MemoryBackend());
    const contexts: WeakRef<object>[] = [];
    const run = async (messages: number): Promise<void> => {
      const chunk = 1_000;
      for (let sent = 0; sent < messages; sent += chunk) {
        await scene.publisher.publishBatch(
          scene.queue,
          Array.from({ length: chunk }, (_, n) => ({ value: { n } })),
        );
        await scene
          .dispatcher(({ n }) => {
            const span = trace.getActiveSpan();
            if (n === 0 && span !== undefined) contexts.push(new WeakRef(span));
          })
          .consumeEvent(scene.queue);
      }
      await provider.forceFlush();
    };
    await run(10_000);
    const before = heap();
    await run(100_000);
    const grown = heap() - before;
    // A context that stays costs some hundred bytes at least: for 100,000 of them more than ten times of this.
    expect(grown).toBeLessThan(2_000_000);
    expect(contexts).toHaveLength(110);
    expect(contexts.filter((each) => each.deref() !== undefined).length).toBeLessThan(3);
  } finally {
    instrumentation.disable();
    await provider.shutdown();
  }
});
