import { onEvent, onTrace } from './channels.ts';
import type { ConsumedQueues } from './consumed-queues.ts';
import type { MessageMetrics } from './message-metrics.ts';

/** Begins to measure. Answers the function that ends it. */
export function measure(messages: MessageMetrics, queues?: ConsumedQueues): () => void {
  const stops = [
    onTrace('publish', messages.publish),
    onTrace('receive', messages.receive),
    onTrace('process', messages.process),
    onEvent('duplicate', messages.duplicate),
    onEvent('error', messages.error),
    onEvent('reconnect', messages.reconnect),
    ...(queues === undefined ? [] : [onTrace('consume', queues.consume)]),
  ];
  return () => {
    for (const stop of stops) stop();
  };
}
