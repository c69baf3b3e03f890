import { MemoryBackend } from '@melange/backend-memory';
import { Reject } from '@melange/core';
import { MemoryDeduplicationCache } from '@melange/dedup-memory';
import { type MetricKey, metricDefinitions } from '@melange/metrics/instruments';
import type { Attributes } from '@opentelemetry/api';
import { type DataPoint, MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { MelangeInstrumentation, type MelangeInstrumentationConfig } from '../src/index.ts';
import { Scene } from './support/scene.ts';

class Reader extends MetricReader {
  protected override async onForceFlush(): Promise<void> {}
  protected override async onShutdown(): Promise<void> {}
}

let reader: Reader;
let provider: MeterProvider;
let instrumentation: MelangeInstrumentation;
let scene: Scene;

function instrument(config: MelangeInstrumentationConfig = {}): void {
  instrumentation?.disable();
  reader = new Reader();
  provider = new MeterProvider({ readers: [reader] });
  instrumentation = new MelangeInstrumentation(config);
  instrumentation.setMeterProvider(provider);
}

beforeEach(async () => {
  instrument();
  scene = await Scene.open(new MemoryBackend());
});
afterEach(async () => {
  instrumentation.disable();
  await provider.shutdown();
});

/** Points of a metric: value, or count of a histogram, and attributes. Of a counter only what was counted. */
async function points(key: MetricKey): Promise<[number, Attributes][]> {
  const all = await allPoints(key);
  return metricDefinitions[key].kind === 'counter' ? all.filter(([value]) => value > 0) : all;
}

async function allPoints(key: MetricKey): Promise<[number, Attributes][]> {
  const { name } = metricDefinitions[key];
  const { resourceMetrics } = await reader.collect();
  const metrics = resourceMetrics.scopeMetrics.flatMap((scope) => scope.metrics);
  const found: unknown[] = [];
  for (const { descriptor, dataPoints } of metrics) if (descriptor.name === name) found.push(...dataPoints);
  return (found as DataPoint<number | { count: number }>[]).map(({ value, attributes }) => [
    typeof value === 'number' ? value : value.count,
    attributes,
  ]);
}

const system = { 'messaging.system': 'melange_memory' };
const publish = (n: number, options = {}) => scene.publisher.publish(scene.queue, { n }, options);

test('publishing is counted and timed, by its error where it fails', async () => {
  await scene.publisher.publishBatch(scene.queue, [{ value: { n: 1 } }, { value: { n: 2 } }]);
  await expect(scene.publisher.publish('missing', { n: 3 })).rejects.toThrow();
  const operation = { ...system, 'messaging.operation.name': 'publish', 'messaging.operation.type': 'send' };
  const good = { ...operation, 'messaging.destination.name': scene.queue };
  const bad = { ...operation, 'messaging.destination.name': 'missing', 'error.type': 'QUEUE_NOT_FOUND' };
  expect(await points('sent')).toEqual([
    [2, good],
    [1, bad],
  ]);
  expect(await points('operationDuration')).toEqual([
    [1, good],
    [1, bad],
  ]);
});

test('consuming is counted by what became of each message, and no attribute is an id', async () => {
  await publish(1, { id: 'same', key: 'k' });
  await publish(1, { id: 'same' });
  await publish(2);
  await publish(3);
  const odd = { manifest: 'json', serializerId: 99, key: undefined, headers: {}, publishedAt: 1 };
  await scene.backend.publishToQueue(scene.queue, [{ ...odd, id: 'odd', content: '{' }]);
  await scene.consume(
    ({ n }, { attempt }) => {
      if (n === 2 && attempt === 1) throw new TypeError('once');
      if (n === 3) throw new Reject('no');
    },
    6,
    { cache: new MemoryDeduplicationCache(), concurrency: 1 },
  );
  const queue = { ...system, 'messaging.destination.name': scene.queue };
  const run = { ...queue, 'melange.consumer': 'billing' };
  const processed = { ...run, 'messaging.operation.name': 'process' };
  expect(await points('consumed')).toEqual([[6, { ...queue, 'messaging.operation.name': 'receive' }]]);
  expect(await points('processDuration')).toEqual([
    [2, processed],
    [1, { ...processed, 'error.type': 'TypeError' }],
    [1, { ...processed, 'error.type': 'REJECTED' }],
  ]);
  expect(await points('criticalTime')).toEqual([[5, queue]]);
  expect(await points('duplicates')).toEqual([[1, run]]);
  expect(await points('retries')).toEqual([[1, { ...queue, 'melange.outcome.cause': 'failed' }]]);
  const letters = await points('deadLetters');
  expect(letters.map(([count, attributes]) => [count, attributes['melange.dead_letter.reason']])).toEqual([
    [1, 'rejected'],
    [1, 'undecodable'],
  ]);
  expect(await points('undecodable')).toEqual([[1, queue]]);
});

test('what nobody accepts is counted', async () => {
  await publish(1);
  await scene.consume([]);
  expect(await points('unhandled')).toHaveLength(1);
});

test('a claim that is lost is counted once', async () => {
  const cache = new MemoryDeduplicationCache();
  cache.confirm = () => false;
  await publish(1);
  await scene.consume(() => undefined, 1, {
    cache,
    retry: { maxAttempts: 1, longestDelayMs: 0, delayMs: () => 0 },
  });
  expect(await points('leaseLosses')).toEqual([
    [1, { ...system, 'messaging.destination.name': scene.queue, 'melange.lease.of': 'claim' }],
  ]);
});

test('a queue is measured while it is consumed, its depth asked for at most once in the interval', async () => {
  await publish(1);
  await publish(2);
  const describing = vi.spyOn(scene.backend, 'describeQueue');
  const stop = new AbortController();
  let goOn = (): void => undefined;
  const wait = new Promise<void>((resolve) => {
    goOn = resolve;
  });
  let begun = false;
  const consuming = scene
    .dispatcher(
      () => {
        begun = true;
        return wait;
      },
      { concurrency: 1 },
    )
    .consumeLoop(scene.queue, { signal: stop.signal });
  await vi.waitFor(() => expect(begun).toBe(true));
  const calls = describing.mock.calls.length;
  const queue = { ...system, 'messaging.destination.name': scene.queue };
  expect(await points('inFlight')).toEqual([[1, queue]]);
  expect(await points('depth')).toEqual([[1, queue]]);
  expect(await points('health')).toEqual([[0, queue]]);
  expect(describing.mock.calls.length - calls).toBe(1);
  scene.backend.health = async () => ({ status: 'degraded', detail: 'away' });
  expect(await points('health')).toEqual([[1, queue]]);
  stop.abort();
  goOn();
  await consuming;
  expect(await points('inFlight')).toEqual([[0, queue]]);
  expect(await points('health')).toEqual([[0, queue]]);
});

test('a loop that ended in an error is unhealthy until the queue is consumed again', async () => {
  const describe = scene.backend.describeQueue.bind(scene.backend);
  scene.backend.describeQueue = async () => {
    throw new Error('away');
  };
  await expect(scene.dispatcher(() => undefined).consumeEvent(scene.queue)).rejects.toThrow('away');
  expect((await points('health')).map(([value]) => value)).toEqual([2]);
  scene.backend.describeQueue = describe;
  await scene.dispatcher(() => undefined).consumeEvent(scene.queue);
  expect((await points('health')).map(([value]) => value)).toEqual([0]);
});

test('metrics, and the depth of queues alone, can be left out', async () => {
  instrument({ metrics: false });
  await publish(1);
  expect(await points('sent')).toEqual([]);
  instrument({ queueDepthIntervalMs: Number.POSITIVE_INFINITY });
  let depths: unknown;
  await scene.consume(async () => {
    depths = [await points('depth'), (await points('inFlight')).length];
  });
  expect(depths).toEqual([[], 1]);
});

test('counters of a queue begin at 0, by each cause and reason, so that the first is an increase', async () => {
  await scene.dispatcher(() => undefined).consumeEvent(scene.queue);
  const queue = { ...system, 'messaging.destination.name': scene.queue };
  const causes = ['failed', 'deferred', 'not-run'].map((cause) => [
    0,
    { ...queue, 'melange.outcome.cause': cause },
  ]);
  expect(await allPoints('retries')).toEqual(causes);
  const reasons = ['attempts exhausted', 'rejected', 'unhandled', 'undecodable', 'crashed'];
  expect(await allPoints('deadLetters')).toEqual(
    reasons.map((reason) => [0, { ...queue, 'melange.dead_letter.reason': reason }]),
  );
  expect(await allPoints('undecodable')).toEqual([[0, queue]]);
  expect(await allPoints('unhandled')).toEqual([[0, queue]]);
  expect(await allPoints('consumed')).toEqual([[0, { ...queue, 'messaging.operation.name': 'receive' }]]);
});

test('of a fleet, one process asks for the depth of a queue at a time where a lease says so', async () => {
  const queueDepthLease = new MemoryDeduplicationCache();
  const other = new MelangeInstrumentation({ queueDepthLease });
  const otherReader = new Reader();
  other.setMeterProvider(new MeterProvider({ readers: [otherReader] }));
  instrument({ queueDepthLease });
  const describing = vi.spyOn(scene.backend, 'describeQueue');
  let depths: unknown;
  await publish(1);
  await scene.consume(async () => {
    const calls = describing.mock.calls.length;
    const own = await points('depth');
    const { resourceMetrics } = await otherReader.collect();
    const names = resourceMetrics.scopeMetrics.flatMap((scope) =>
      scope.metrics.filter(({ dataPoints }) => dataPoints.length > 0).map((each) => each.descriptor.name),
    );
    depths = [own.length, names.includes('melange.queue.depth'), describing.mock.calls.length - calls];
    expect(names).toContain('melange.queue.in_flight');
  });
  other.disable();
  expect(depths).toEqual([1, false, 1]);
});
