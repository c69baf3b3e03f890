import { MemoryBackend } from '@melange/backend-memory';
import type { SpanContext, TracerProvider } from '@opentelemetry/api';
import { trace } from '@opentelemetry/api';
import * as present from '@opentelemetry/sdk-trace-node';
import * as newest from 'sdk-trace-newest';
import * as oldest from 'sdk-trace-node-oldest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { MelangeInstrumentation } from '../src/index.ts';
import { Scene } from './support/scene.ts';
import { Telemetry } from './support/telemetry.ts';

interface FinishedSpan {
  readonly name: string;
  spanContext(): SpanContext;
  readonly links: readonly { readonly context: SpanContext }[];
}

interface Sdk {
  readonly provider: TracerProvider;
  readonly finished: () => readonly FinishedSpan[];
}

const sdks: readonly [string, () => Sdk][] = [
  [
    'the oldest, 1.30',
    () => {
      const exporter = new oldest.InMemorySpanExporter();
      const spanProcessors = [new oldest.SimpleSpanProcessor(exporter)];
      return {
        provider: new oldest.NodeTracerProvider({ spanProcessors }),
        finished: () => exporter.getFinishedSpans(),
      };
    },
  ],
  [
    '2.x',
    () => {
      const exporter = new present.InMemorySpanExporter();
      const spanProcessors = [new present.SimpleSpanProcessor(exporter)];
      return {
        provider: new present.NodeTracerProvider({ spanProcessors }),
        finished: () => exporter.getFinishedSpans(),
      };
    },
  ],
  [
    'the newest, 3.x',
    () => {
      const exporter = new newest.InMemorySpanExporter();
      const spanProcessors = [new newest.SimpleSpanProcessor({ exporter })];
      return {
        provider: new newest.TracerProvider({ spanProcessors }),
        finished: () => exporter.getFinishedSpans(),
      };
    },
  ],
];

// Registers the context manager and the propagator, which are of the API and not of a version of the SDK.
let telemetry: Telemetry;
beforeAll(() => {
  telemetry = new Telemetry();
});
afterAll(() => telemetry.close());

test.each(sdks)('works with %s', async (_, open) => {
  const { provider, finished } = open();
  const instrumentation = new MelangeInstrumentation();
  instrumentation.setTracerProvider(provider);
  try {
    const scene = await Scene.open(new MemoryBackend());
    await scene.publisher.publish(scene.queue, { n: 1 });
    let active: SpanContext | undefined;
    await scene.consume(() => {
      active = trace.getActiveSpan()?.spanContext();
    });
    const [published, processed, ...others] = finished();
    expect([published?.name, processed?.name, ...others]).toEqual([
      `publish ${scene.queue}`,
      `process ${scene.queue}`,
    ]);
    expect(processed?.links[0]?.context.spanId).toBe(published?.spanContext().spanId);
    expect(active?.spanId).toBe(processed?.spanContext().spanId);
  } finally {
    instrumentation.disable();
  }
});
