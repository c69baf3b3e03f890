import { MemoryBackend } from '@melange/backend-memory';
import {
  type Consumer,
  MessageDispatcher,
  QueuePublisher,
  Reject,
  SerializerRegistry,
  silentLogger,
} from '@melange/core';
import { publishReconnect } from '@melange/core/adapter';
import { metricDefinitions, metricsText, prometheusName, recordMetrics } from '@melange/metrics';
import { JsonSerializer } from '@melange/serializer-json';
import { beforeEach, expect, test, vi } from 'vitest';
import { checkMetrics, promtool } from './support/promtool.ts';

const serializers = new SerializerRegistry({ serializers: { json: new JsonSerializer() }, default: 'json' });

let backend: MemoryBackend;
let publisher: QueuePublisher;
let queue: string;
let queues = 0;
beforeEach(async () => {
  recordMetrics();
  backend = new MemoryBackend();
  queues += 1;
  queue = `orders-${queues}`;
  publisher = new QueuePublisher({ backend, serializers });
  await backend.declareQueue(queue, { deadLetterQueue: `${queue}-dead` });
});

function dispatcher(process: Consumer['process']): MessageDispatcher {
  const made = new MessageDispatcher({ backend, serializers, logger: silentLogger, concurrency: 1 });
  made.attachConsumer({ name: 'billing', accepts: () => true, process });
  return made;
}

/** Lines of a metric's series whose labels have this text. */
function linesOf(text: string, name: string, label = ''): string[] {
  return text.split('\n').filter((line) => line.startsWith(`${name}{`) && line.includes(label));
}

test('the text has every metric of a dispatcher, counted from the beginning', async () => {
  const subject = dispatcher((message) => {
    if ((message as { n: number }).n === 2) throw new Reject('no');
  });
  await publisher.publish(queue, { n: 1 });
  await publisher.publish(queue, { n: 2 });
  publishReconnect({ backend: 'memory' });
  let during = '';
  subject.attachConsumer({
    name: 'looks',
    accepts: () => true,
    process: async () => {
      during ||= await metricsText(subject);
    },
  });
  await subject.consumeEvent(queue);
  const text = await metricsText(subject);
  const labels = `messaging_system="melange_memory",messaging_destination_name="${queue}"`;
  expect(text).toContain('# TYPE messaging_client_consumed_messages_total counter\n');
  expect(linesOf(text, 'messaging_client_consumed_messages_total')).toEqual([
    `messaging_client_consumed_messages_total{${labels},messaging_operation_name="receive"} 2`,
  ]);
  expect(linesOf(text, 'melange_dead_letters_total', `${queue}"`)).toContain(
    `melange_dead_letters_total{${labels},melange_dead_letter_reason="rejected"} 1`,
  );
  expect(linesOf(text, 'melange_dead_letters_total', 'crashed')).toEqual([
    `melange_dead_letters_total{${labels},melange_dead_letter_reason="crashed"} 0`,
  ]);
  expect(linesOf(text, 'messaging_process_duration_seconds_count', 'error_type')).toEqual([
    `messaging_process_duration_seconds_count{${labels},melange_consumer="billing",messaging_operation_name="process",error_type="REJECTED"} 1`,
  ]);
  expect(linesOf(during, 'melange_queue_in_flight')).toEqual([`melange_queue_in_flight{${labels}} 1`]);
  expect(linesOf(during, 'melange_queue_depth')).toEqual([`melange_queue_depth{${labels}} 1`]);
  expect(linesOf(during, 'melange_health')).toEqual([`melange_health{${labels}} 0`]);
  // What happened of nothing, and so has no line, is told by no header either.
  const named = [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name);
  const never = ['melange_duplicates_total', 'melange_lease_losses_total'];
  const gauges = ['melange_queue_in_flight', 'melange_queue_depth', 'melange_health'];
  const expected = Object.values(metricDefinitions)
    .map(prometheusName)
    .filter((name) => ![...never, ...gauges].includes(name));
  expect(named).toEqual(expected);
});

test('a histogram is cumulative, and its buckets end with all', async () => {
  const subject = dispatcher(() => undefined);
  const long = { manifest: 'json', serializerId: 1, key: undefined, headers: {}, content: '{}' };
  await backend.publishToQueue(queue, [{ ...long, id: 'old', publishedAt: Date.now() - 20_000 }]);
  await backend.publishToQueue(queue, [{ ...long, id: 'new', publishedAt: Date.now() + 1_000 }]);
  await subject.consumeEvent(queue);
  const text = await metricsText(subject);
  const buckets = linesOf(text, 'melange_critical_time_seconds_bucket', `"${queue}"`);
  const counts = buckets.map((line) => [/le="([^"]+)"/.exec(line)?.[1], Number(line.split(' ').at(-1))]);
  expect(counts).toEqual([
    ['0.01', 1],
    ['0.05', 1],
    ['0.1', 1],
    ['0.5', 1],
    ['1', 1],
    ['5', 1],
    ['10', 1],
    ['30', 2],
    ['60', 2],
    ['300', 2],
    ['900', 2],
    ['3600', 2],
    ['21600', 2],
    ['86400', 2],
    ['+Inf', 2],
  ]);
  const [sum] = linesOf(text, 'melange_critical_time_seconds_sum', `"${queue}"`);
  expect(Number(sum?.split(' ').at(-1))).toBeGreaterThanOrEqual(20);
});

test('the text of a dispatcher has no queue of another one', async () => {
  const other = `${queue}-other`;
  await backend.declareQueue(other);
  await publisher.publish(other, {});
  await dispatcher(() => undefined).consumeEvent(other);
  const subject = dispatcher(() => undefined);
  await subject.consumeEvent(queue);
  const text = await metricsText(subject);
  expect(linesOf(text, 'messaging_client_consumed_messages_total', other)).toEqual([]);
  expect(linesOf(text, 'messaging_client_sent_messages_total', other)).toHaveLength(1);
});

test('a loop that ended in an error is unhealthy', async () => {
  const subject = dispatcher(() => undefined);
  await expect(subject.consumeEvent('missing')).rejects.toThrow();
  expect(linesOf(await metricsText(subject), 'melange_health')).toEqual([
    'melange_health{messaging_system="melange_memory",messaging_destination_name="missing"} 2',
  ]);
});

test('the broker is asked for a depth at most once in the interval, or never', async () => {
  const describing = vi.spyOn(backend, 'describeQueue');
  const asked: number[] = [];
  for (const depthIntervalMs of [60_000, 0, Number.POSITIVE_INFINITY]) {
    await publisher.publish(queue, {});
    const subject: MessageDispatcher = dispatcher(async () => {
      const before = describing.mock.calls.length;
      for (let n = 0; n < 3; n += 1) await metricsText(subject, { depthIntervalMs });
      asked.push(describing.mock.calls.length - before);
    });
    await subject.consumeEvent(queue);
  }
  expect(asked).toEqual([1, 3, 0]);
});

test('a broker that does not answer costs the depth alone, and a second', async () => {
  const subject: MessageDispatcher = dispatcher(async () => {
    const answer = new Promise<never>(() => undefined);
    const describing = vi.spyOn(backend, 'describeQueue').mockReturnValue(answer);
    texts.push(await metricsText(subject), await metricsText(subject));
    expect(describing).toHaveBeenCalledTimes(1);
    describing.mockRestore();
  });
  const texts: string[] = [];
  await publisher.publish(queue, {});
  await subject.consumeEvent(queue);
  expect(texts).toHaveLength(2);
  for (const text of texts) {
    expect(linesOf(text, 'melange_queue_in_flight')).toHaveLength(1);
    expect(linesOf(text, 'melange_queue_depth')).toEqual([]);
  }
});

test('names that are no words are escaped, and errors of any number are counted together past a bound', async () => {
  const odd = 'a "queue"\\with\nlines';
  await backend.declareQueue(odd);
  let n = 0;
  const subject = dispatcher(() => {
    n += 1;
    throw Object.assign(new Error('odd'), { name: `Error${n}` });
  });
  for (let more = 0; more < 2_100; more += 1) await publisher.publish(odd, {});
  const stop = new AbortController();
  await subject.consumeLoop(odd, {
    signal: stop.signal,
    afterConsume: () => {
      if (n >= 2_100) stop.abort();
    },
  });
  const text = await metricsText(subject);
  expect(text).toContain('messaging_destination_name="a \\"queue\\"\\\\with\\nlines"');
  const counts = linesOf(text, 'messaging_process_duration_seconds_count');
  expect(counts.length).toBeLessThanOrEqual(2_001);
  expect(linesOf(text, 'messaging_process_duration_seconds_count', 'otel_metric_overflow')).toHaveLength(1);
});

test.skipIf(promtool === undefined)(
  'Prometheus reads the text (skipped where there is no promtool)',
  async () => {
    await publisher.publish(queue, {});
    let during = '';
    const subject: MessageDispatcher = dispatcher(async () => {
      during = await metricsText(subject);
    });
    await subject.consumeEvent(queue);
    expect(await checkMetrics(during)).toEqual('');
    expect(await checkMetrics(await metricsText(subject))).toEqual('');
  },
);
