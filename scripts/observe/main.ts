import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type MeasuredDispatcher, type MeasuredService, metricsText, recordMetrics } from '@melange/metrics';
import { onTrace } from '@melange/metrics/instruments';
import { MelangeInstrumentation } from '@melange/opentelemetry';
import {
  InMemorySpanExporter,
  NodeTracerProvider,
  type ReadableSpan,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-node';
import { readArguments } from '../../apps/order-saga/src/arguments.ts';
import { openBackends } from '../../apps/order-saga/src/backends.ts';
import { queueNames } from '../../apps/order-saga/src/service.ts';
import { runSystem } from '../../apps/order-saga/src/system.ts';
import { dashboardView, type PanelView } from './dashboard-view.ts';
import { startPrometheus } from './prometheus.ts';
import { type DrawnSpan, traceView } from './trace-view.ts';

const docs = new URL('../../docs/', import.meta.url);
const runId = `shop-${process.pid}`;

/** Runs the order saga over three brokers, and draws what was seen of it: one order's trace, and the dashboard. */
const options = readArguments([
  ...['--orders-backend', 'rabbitmq', '--payments-backend', 'redis-streams', '--saga-backend', 'sqs'],
  ...['--orders', '1500', '--failure-rate', '0.3', '--run-id', runId],
]);
const exporter = new InMemorySpanExporter();
const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
provider.register();
// One trace for each order: what a handler publishes continues that of its message.
const instrumentation = new MelangeInstrumentation({ processSpans: 'child' });
instrumentation.setTracerProvider(provider);
recordMetrics();

const dispatchers: Record<string, MeasuredDispatcher> = {};
onTrace('consume', {
  start: ({ queue, dispatcher }) => {
    dispatchers[queue] = dispatcher as MeasuredDispatcher;
  },
  end: () => undefined,
});
const sends = Object.values(queueNames(runId)).map((name) => ({ name }));
/** All of the run, as one service. */
const whole: MeasuredService = {
  name: 'order-saga',
  dispatchers,
  backends: {},
  plan: { topics: [], sends },
  health: async () => ({ status: 'healthy', queues: {}, backends: {} }),
};
const server = createServer(async (_, response) => {
  response.end((await metricsText(whole, { depthIntervalMs: 1_000 })).replaceAll(`${runId}-`, ''));
});
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
const prometheus = await startPrometheus(`127.0.0.1:${(server.address() as AddressInfo).port}`);

const { backends, close } = await openBackends(options, console.log);
console.log(await runSystem(options, backends, () => undefined));
await mkdir(new URL('observability/', docs), { recursive: true });
await write('trace.svg', traceView('One order over three brokers, as one trace', bestTrace().map(drawn)));
if (prometheus === undefined) console.log('no program prometheus: the dashboard is not drawn');
else await write('dashboard.svg', dashboardView('The order saga on the dashboard', await panels()));
await close();
await prometheus?.stop();
server.close();
instrumentation.disable();
await provider.shutdown();

async function write(name: string, text: string): Promise<void> {
  await writeFile(new URL(`observability/${name}`, docs), text);
  console.log(`wrote docs/observability/${name}`);
}

/** The trace with most spans among those of orders whose payment failed once. */
function bestTrace(): readonly ReadableSpan[] {
  const traces = new Map<string, ReadableSpan[]>();
  for (const span of exporter.getFinishedSpans()) {
    const { traceId } = span.spanContext();
    traces.set(traceId, [...(traces.get(traceId) ?? []), span]);
  }
  const retries = (spans: readonly ReadableSpan[]): number =>
    spans.filter(({ attributes }) => attributes['melange.outcome'] === 'retry').length;
  const found = [...traces.values()].filter((spans) => retries(spans) === 1);
  found.sort((one, other) => other.length - one.length);
  if (found[0] === undefined) throw new Error('no order was retried once: run it again');
  return found[0];
}

function drawn(span: ReadableSpan): DrawnSpan {
  const { name, startTime, endTime, attributes, parentSpanContext } = span;
  const milliseconds = ([seconds, nanoseconds]: readonly [number, number]): number =>
    seconds * 1_000 + nanoseconds / 1e6;
  return {
    id: span.spanContext().spanId,
    parent: parentSpanContext?.spanId,
    name: name.replace(`${runId}-`, ''),
    start: milliseconds(startTime),
    end: milliseconds(endTime),
    attributes,
  };
}

/** What the dashboard shows, asked of Prometheus. */
async function panels(): Promise<readonly PanelView[]> {
  const dashboard = JSON.parse(await readFile(new URL('grafana/dashboard.json', docs), 'utf8')) as Dashboard;
  const shown = dashboard.panels.filter(({ type }) => type === 'timeseries');
  const views = await Promise.all(
    shown.map(async ({ title, targets, fieldConfig }): Promise<PanelView> => {
      const lines = await Promise.all(
        targets.map(({ expr, legendFormat }) =>
          prometheus === undefined
            ? []
            : prometheus.query(
                expr
                  .replaceAll('$__rate_interval', '10s')
                  .replaceAll('$job', '.*')
                  .replaceAll('$queue', '.*'),
                legendFormat,
              ),
        ),
      );
      return { title, unit: fieldConfig.defaults.unit, lines: lines.flat() };
    }),
  );
  if (views.every(({ lines }) => lines.length === 0)) throw new Error('Prometheus has nothing: run it again');
  return views;
}

interface Dashboard {
  readonly panels: readonly {
    readonly type: string;
    readonly title: string;
    readonly targets: readonly { readonly expr: string; readonly legendFormat: string }[];
    readonly fieldConfig: { readonly defaults: { readonly unit: string } };
  }[];
}
