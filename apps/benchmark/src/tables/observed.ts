import type { Table } from '../table.ts';

const file = 'dispatcher-observed';

export const observed: Table = {
  name: 'observed',
  title: 'One message through a dispatcher that is observed',
  about:
    'As the table of the dispatcher, with messages that carry a `traceparent`, through `@melange/opentelemetry` on the SDK 2.x with a `BatchSpanProcessor` whose exporter does nothing. Dropped: a sampler that samples nothing. Recorded: one `process` span for each message, with a link. Metrics: with a `MeterProvider` that nobody reads; as text: by `recordMetrics()` of `@melange/metrics`, without OpenTelemetry.',
  broker: undefined,
  messages: 300_000,
  warmUp: 60_000,
  inFlight: 100,
  contenders: [
    { name: 'nobody listens', file: 'dispatcher-melange', parameters: { traced: 1 } },
    { name: 'traces, all dropped', file, parameters: { traced: 1, observed: 1 } },
    { name: 'traces, all recorded', file, parameters: { traced: 1, observed: 2 } },
    { name: 'traces recorded and metrics', file, parameters: { traced: 1, observed: 3 } },
    { name: 'metrics as text', file, parameters: { traced: 1, observed: 4 } },
  ],
  goals: [],
  libraries: ['@opentelemetry/sdk-trace-node', '@opentelemetry/sdk-metrics'],
};
