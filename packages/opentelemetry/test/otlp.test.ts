import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { MemoryBackend } from '@melange/backend-memory';
import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-http';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { registerInstrumentations } from '@opentelemetry/instrumentation';
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { MelangeInstrumentation } from '../src/index.ts';
import { Scene } from './support/scene.ts';

interface Exported {
  readonly resourceSpans?: readonly {
    readonly scopeSpans: readonly { readonly spans: readonly { readonly name: string }[] }[];
  }[];
  readonly resourceMetrics?: readonly {
    readonly scopeMetrics: readonly { readonly metrics: readonly { readonly name: string }[] }[];
  }[];
}

/** What was sent to the receiver, by path. */
const received = new Map<string, Exported[]>();
let server: Server;
let url: string;

beforeAll(async () => {
  server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const path = request.url ?? '';
    received.set(path, [...(received.get(path) ?? []), JSON.parse(Buffer.concat(chunks).toString('utf8'))]);
    response.setHeader('content-type', 'application/json').end('{}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => new Promise((resolve) => server.close(resolve)));

test('spans and metrics arrive at a receiver of OTLP over HTTP', async () => {
  const exporter = new OTLPTraceExporter({ url: `${url}/v1/traces` });
  const tracerProvider = new NodeTracerProvider({ spanProcessors: [new BatchSpanProcessor(exporter)] });
  tracerProvider.register();
  const reader = new PeriodicExportingMetricReader({
    exporter: new OTLPMetricExporter({ url: `${url}/v1/metrics` }),
  });
  const meterProvider = new MeterProvider({ readers: [reader] });
  const disable = registerInstrumentations({
    instrumentations: [new MelangeInstrumentation()],
    tracerProvider,
    meterProvider,
  });
  try {
    const scene = await Scene.open(new MemoryBackend());
    await scene.publisher.publish(scene.queue, { n: 1 });
    await scene.consume(() => undefined);
    await tracerProvider.forceFlush();
    await meterProvider.forceFlush();
    const spans = (received.get('/v1/traces') ?? []).flatMap(({ resourceSpans = [] }) =>
      resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans)),
    );
    expect(spans.map(({ name }) => name)).toEqual([`publish ${scene.queue}`, `process ${scene.queue}`]);
    const metrics = (received.get('/v1/metrics') ?? []).flatMap(({ resourceMetrics = [] }) =>
      resourceMetrics.flatMap(({ scopeMetrics }) => scopeMetrics.flatMap((scope) => scope.metrics)),
    );
    expect(metrics.map(({ name }) => name)).toEqual(
      expect.arrayContaining([
        'messaging.client.sent.messages',
        'messaging.process.duration',
        'melange.critical_time',
      ]),
    );
  } finally {
    disable();
    await tracerProvider.shutdown();
    await meterProvider.shutdown();
  }
});
