import type { ConsumedQueues, Observed } from '@melange/metrics/instruments';
import type { ObservableGauge, ObservableResult } from '@opentelemetry/api';
import type { Instruments } from './instruments.ts';

/** Begins to answer exporters. Answers the function that ends it. */
export function observe({ inFlight, depth, health }: Instruments, queues: ConsumedQueues): () => void {
  const stops = [
    answering(inFlight, () => queues.inFlight()),
    answering(depth, () => queues.depth()),
    answering(health, () => queues.health()),
  ];
  return () => {
    for (const stop of stops) stop();
  };
}

function answering(
  gauge: ObservableGauge,
  read: () => readonly Observed[] | Promise<readonly Observed[]>,
): () => void {
  const callback = async (result: ObservableResult): Promise<void> => {
    for (const [value, labels] of await read()) result.observe(value, labels);
  };
  gauge.addCallback(callback);
  return () => gauge.removeCallback(callback);
}
