import { readFile } from 'node:fs/promises';
import { MemoryBackend } from '@melange/backend-memory';
import { type Delivery, type MessagingBackend, Reject, TopicPublisher } from '@melange/core';
import { MemoryDeduplicationCache } from '@melange/dedup-memory';
import { metricDefinitions } from '@melange/metrics/instruments';
import { MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Scene, serializers } from './support/scene.ts';
import { Telemetry } from './support/telemetry.ts';

class Reader extends MetricReader {
  protected override async onForceFlush(): Promise<void> {}
  protected override async onShutdown(): Promise<void> {}
}

const page = await readFile(new URL('../../../docs/opentelemetry.md', import.meta.url), 'utf8');

/** First and second column of the table under a heading, of each row. */
function rows(heading: string): string[][] {
  const section = page.split(`## ${heading}\n`)[1]?.split('\n## ')[0] ?? '';
  const lines = section.split('\n').filter((line) => line.startsWith('| `'));
  return lines.map((line) => line.split('|').map((cell) => cell.trim().replaceAll('`', '')));
}

/** The backend by another name: what is said of Kafka's deliveries follows from it. */
function named(backend: MessagingBackend, name: string): MessagingBackend {
  return new Proxy(backend, {
    get: (target, property) => {
      if (property === 'name') return name;
      const value = Reflect.get(target, property, target) as unknown;
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

let telemetry: Telemetry;
let reader: Reader;
/** Names of attributes, by the first word of the spans that have them. */
const seen = new Map<string, Set<string>>();
beforeAll(async () => {
  telemetry = new Telemetry();
  reader = new Reader();
  const instrumentation = telemetry.instrument({ receiveSpans: true, settleSpans: true });
  instrumentation.setMeterProvider(new MeterProvider({ readers: [reader] }));
  await everything();
  for (const { name, attributes } of telemetry.spans()) {
    const operation = name.split(' ')[0] as string;
    const kind = ['acknowledge', 'retry', 'dead-letter'].includes(operation) ? 'settle' : operation;
    const batched = attributes['messaging.batch.message_count'] === undefined ? kind : `${kind} of a batch`;
    seen.set(batched, new Set([...(seen.get(batched) ?? []), ...Object.keys(attributes)]));
  }
});
afterAll(() => telemetry.close());

/** One run in which all happens that the page speaks of. */
async function everything(): Promise<void> {
  const scene = await Scene.open(named(new MemoryBackend(), 'kafka'));
  const { queue, publisher, backend } = scene;
  const correlated = { correlationId: 'checkout-7' };
  await publisher.publish(queue, { n: 1 }, { id: 'same', ...correlated });
  await publisher.publish(queue, { n: 1 }, { id: 'same' });
  await publisher.publish(queue, { n: 2 }, { id: 'fails', ...correlated });
  await publisher.publishBatch(queue, [{ value: { n: 3 }, ...correlated }, { value: { n: 4 } }]);
  await expect(publisher.publish('missing', { n: 5 })).rejects.toThrow();
  await backend.declareTopic('events');
  await new TopicPublisher({ backend, serializers }).publish('events', { n: 6 });
  const redelivered: MessagingBackend = Object.create(backend, {
    subscribe: {
      value: (name: string, options: object, receive: (delivery: Delivery) => void) =>
        backend.subscribe(name, options as never, (delivery) => {
          Object.defineProperty(delivery, 'redeliveries', { value: 1 });
          receive(delivery);
        }),
    },
  });
  const options = { cache: new MemoryDeduplicationCache(), concurrency: 1, backend: redelivered };
  const process = ({ n }: { readonly n: number }, { attempt }: { readonly attempt: number }): void => {
    if (n === 2 && attempt === 1) throw new TypeError('once');
    if (n === 3) throw new Reject('no');
  };
  await scene.consume(process, 6, options);
}

/** Spans that the second column of the table of attributes speaks of. */
const spansOf: Readonly<Record<string, readonly string[]>> = {
  all: ['publish', 'publish of a batch', 'create', 'process', 'receive', 'settle'],
  "consumer's spans on Kafka": ['process', 'receive', 'settle'],
  'all but publish of a batch': ['publish', 'create', 'process', 'receive', 'settle'],
  'where there is one': ['publish', 'create', 'process', 'receive', 'settle'],
  'publish of a batch': ['publish of a batch'],
  failures: ['publish', 'process'],
  'publish, create': ['publish', 'publish of a batch', 'create'],
  process: ['process'],
  "consumer's spans": ['process', 'receive', 'settle'],
  "consumer's spans, where over 0": ['process', 'receive', 'settle'],
  'process, receive': ['process', 'receive'],
  'acknowledge, retry': ['process', 'receive'],
  'dead-letter': ['process', 'receive'],
  retry: ['process', 'receive'],
  'a run that was spared': ['process'],
};

test.each(rows('Attributes'))(
  'spans have the attribute where the page says so: %s %s',
  (_, name = '', on = '') => {
    const expected = spansOf[on];
    if (expected === undefined) throw new Error(`the page says "${on}": say here which spans that means`);
    const having = [...seen].filter(([, attributes]) => attributes.has(name)).map(([operation]) => operation);
    expect(having.sort()).toEqual([...expected].sort());
  },
);

test('spans have no attribute that the page does not speak of', () => {
  const written = rows('Attributes').map(([, name]) => name);
  const all = [...seen.values()].flatMap((attributes) => [...attributes]);
  expect(all.filter((name) => !written.includes(name))).toEqual([]);
});

test('each metric has the attributes that the page says, and no others', async () => {
  const { resourceMetrics } = await reader.collect();
  const points = new Map<string, Set<string>>();
  for (const { descriptor, dataPoints } of resourceMetrics.scopeMetrics.flatMap(({ metrics }) => metrics)) {
    const names = dataPoints.flatMap(({ attributes }) => Object.keys(attributes));
    points.set(descriptor.name, new Set(names));
  }
  // Told of a lease, a message, or a connection that is lost, of which this run has none.
  const never = ['melange.lease.losses', 'melange.reconnects', 'melange.unhandled', 'melange.queue.depth'];
  for (const [, name = '', , , , more = ''] of rows('Metrics')) {
    if (never.includes(name)) continue;
    const own = more
      .split(',')
      .map((word) => word.trim())
      .filter((word) => word !== '');
    const common = ['messaging.system', 'messaging.destination.name'];
    expect([...(points.get(name) ?? [])].sort(), name).toEqual([...common, ...own].sort());
  }
  expect(rows('Metrics')).toHaveLength(Object.keys(metricDefinitions).length);
});
