import { recordMetrics } from '@melange/metrics';
import { MelangeInstrumentation } from '@melange/opentelemetry';
import { MeterProvider } from '@opentelemetry/sdk-metrics';
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  NodeTracerProvider,
} from '@opentelemetry/sdk-trace-node';
import type { Contestant } from '../contestant.ts';
import dispatcher from './dispatcher-melange.ts';

const ignoring = {
  export: (_: unknown, done: (result: { code: number }) => void): void => done({ code: 0 }),
  shutdown: async (): Promise<void> => undefined,
};

/** As the dispatcher alone, `observed`: 1 with traces that are dropped, 2 recorded, 3 with metrics too, 4 metrics as text. */
const contestant: Contestant = async (task, meter) => {
  const { observed = 0 } = task.parameters;
  if (observed === 4) {
    recordMetrics();
    return dispatcher(task, meter);
  }
  const provider = new NodeTracerProvider({
    sampler: observed === 1 ? new AlwaysOffSampler() : new AlwaysOnSampler(),
    spanProcessors: [
      new BatchSpanProcessor(ignoring, { maxQueueSize: 1_000_000, maxExportBatchSize: 10_000 }),
    ],
  });
  provider.register();
  const instrumentation = new MelangeInstrumentation();
  instrumentation.setTracerProvider(provider);
  if (observed === 3) instrumentation.setMeterProvider(new MeterProvider());
  await dispatcher(task, meter);
  instrumentation.disable();
  await provider.shutdown();
};

export default contestant;
