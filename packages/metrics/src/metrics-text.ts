import type { Health } from '@melange/core';
import { onTrace } from './channels.ts';
import { healthValue } from './consumed-queues.ts';
import { type MetricDefinition, type MetricKey, metricDefinitions, prometheusName } from './definitions.ts';
import { measure } from './measure.ts';
import { type Labels, type MessageInstruments, MessageMetrics } from './message-metrics.ts';
import { MetricAttribute as Attribute, systemOf } from './names.ts';
import { QueueDepths, type QueueDepthsOptions } from './queue-depths.ts';
import {
  isService,
  type MeasuredDispatcher,
  type MeasuredQueue,
  type MetricsSource,
  queuesOf,
} from './source.ts';
import { type Sample, TextCounter, TextHistogram } from './text-instruments.ts';

/** `Content-Type` of what `metricsText` writes. */
export const metricsContentType = 'text/plain; version=0.0.4; charset=utf-8';

/** How `metricsText` asks for the depth of queues: options of its first call for a source. */
export type MetricsTextOptions = QueueDepthsOptions;

type Instruments = { readonly [Key in keyof MessageInstruments]: TextCounter | TextHistogram };

interface ConsumedQueue {
  readonly system: string;
  readonly queue: string;
}

interface Recorder {
  readonly instruments: Instruments;
  readonly messages: MessageMetrics;
  /** The queues that a dispatcher was seen to consume: their counters stay when it consumes them no more. */
  readonly queues: WeakMap<object, Map<string, ConsumedQueue>>;
}

/** Channels are of the process, so this is too. */
let recorder: Recorder | undefined;
const depthsOfSources = new WeakMap<MetricsSource, QueueDepths>();

/**
 * Begins to count and measure for `metricsText`, for as long as the process runs. The first `metricsText` does so too: call this
 * before queues are consumed, and nothing is missing in that text. Does nothing the second time.
 */
export function recordMetrics(): void {
  theRecorder();
}

/**
 * The metrics of a dispatcher or service as text for Prometheus, with the names that `@melange/opentelemetry` has there.
 * What was published is counted by process: a dispatcher's text has all of it, a service's what goes to its own topics and
 * queues. Recording begins with the first call, see `recordMetrics`.
 */
export async function metricsText(source: MetricsSource, options: MetricsTextOptions = {}): Promise<string> {
  const { instruments, ...recorded } = theRecorder();
  const depths = depthsOfSources.get(source) ?? new QueueDepths(options);
  depthsOfSources.set(source, depths);
  const queues = await queuesOf(source);
  for (const { dispatcher, queue } of queues) consumed(recorded, dispatcher, queue);
  const isWanted = filterOf(source, recorded);
  const gauges = await gaugesOf(source, queues, depths);
  let text = '';
  for (const [key, definition] of Object.entries(metricDefinitions)) {
    const samples =
      key in instruments
        ? instruments[key as keyof Instruments].samples(isWanted)
        : (gauges[key as MetricKey] ?? []);
    text += textOf(definition, samples);
  }
  return text;
}

/** Remembers that a dispatcher consumes a queue. */
function consumed(
  { queues, messages }: Omit<Recorder, 'instruments'>,
  dispatcher: MeasuredDispatcher,
  queue: string,
): void {
  const system = systemOf(dispatcher.backend.name);
  const known = queues.get(dispatcher) ?? new Map<string, ConsumedQueue>();
  queues.set(dispatcher, known);
  const key = `${system} ${queue}`;
  if (known.has(key)) return;
  known.set(key, { system, queue });
  messages.begin(system, queue);
}

function theRecorder(): Recorder {
  if (recorder !== undefined) return recorder;
  const counter = (): TextCounter => new TextCounter();
  const instruments = {
    operationDuration: new TextHistogram(metricDefinitions.operationDuration),
    sent: counter(),
    consumed: counter(),
    processDuration: new TextHistogram(metricDefinitions.processDuration),
    criticalTime: new TextHistogram(metricDefinitions.criticalTime),
    retries: counter(),
    deadLetters: counter(),
    duplicates: counter(),
    undecodable: counter(),
    unhandled: counter(),
    leaseLosses: counter(),
    reconnects: counter(),
  };
  const messages = new MessageMetrics(instruments);
  const made: Recorder = { instruments, messages, queues: new WeakMap() };
  measure(messages);
  onTrace('consume', {
    start: ({ dispatcher, queue }) => consumed(made, dispatcher as MeasuredDispatcher, queue),
    end: () => undefined,
  });
  recorder = made;
  return made;
}

/** Which of the process's series are a source's. */
function filterOf(source: MetricsSource, recorded: Pick<Recorder, 'queues'>): (labels: Labels) => boolean {
  const dispatchers = isService(source) ? Object.values(source.dispatchers) : [source];
  const queues = new Map(dispatchers.flatMap((dispatcher) => [...(recorded.queues.get(dispatcher) ?? [])]));
  const published = isService(source)
    ? new Set([...source.plan.topics, ...source.plan.sends].map(({ name }) => name))
    : undefined;
  const systems = new Set([...queues.values()].map(({ system }) => system));
  return (labels) => {
    const { [Attribute.system]: system, [Attribute.destination]: destination } = labels;
    if (destination === undefined) return system === undefined || systems.has(system);
    if (labels[Attribute.operationType] === 'send')
      return published === undefined || published.has(destination);
    return queues.has(`${system} ${destination}`);
  };
}

async function gaugesOf(
  source: MetricsSource,
  queues: readonly MeasuredQueue[],
  depths: QueueDepths,
): Promise<Partial<Record<MetricKey, readonly Sample[]>>> {
  const depth = queues.map(async (queue): Promise<readonly Sample[]> => {
    const description = await depths.describe(queue.backend, queue.queue);
    return description === undefined ? [] : [sample(labelsOf(queue), description.depth)];
  });
  const health = queues.map((queue) => sample(labelsOf(queue), healthValue[queue.health.status]));
  return {
    inFlight: queues.map((queue) => sample(labelsOf(queue), queue.inFlight)),
    depth: (await Promise.all(depth)).flat(),
    health: isService(source) ? [...health, ...(await healthOfParts(source))] : health,
  };
}

/** Of a service: of the whole, and of each backend. */
async function healthOfParts(source: MetricsSource & { readonly name: string }): Promise<readonly Sample[]> {
  const whole = (await source.health()) as Health & { readonly backends?: Readonly<Record<string, Health>> };
  const ofBackends = Object.entries(whole.backends ?? {}).map(([backend, { status }]) =>
    sample({ 'melange.backend': backend }, healthValue[status]),
  );
  return [sample({ 'melange.service': source.name }, healthValue[whole.status]), ...ofBackends];
}

function labelsOf({ backend, queue }: MeasuredQueue): Labels {
  return { [Attribute.system]: systemOf(backend.name), [Attribute.destination]: queue };
}

function sample(labels: Labels, value: number): Sample {
  return { suffix: '', labels, value };
}

function textOf(definition: MetricDefinition, samples: readonly Sample[]): string {
  if (samples.length === 0) return '';
  const name = prometheusName(definition);
  const lines = samples.map(({ suffix, labels, value }) => `${name}${suffix}${labelText(labels)} ${value}\n`);
  return `# HELP ${name} ${definition.description}\n# TYPE ${name} ${definition.kind}\n${lines.join('')}`;
}

function labelText(labels: Labels): string {
  const each = Object.entries(labels).map(
    ([name, value]) => `${name.replaceAll(/[^a-zA-Z0-9_]/g, '_')}="${escaped(value)}"`,
  );
  return each.length === 0 ? '' : `{${each.join(',')}}`;
}

function escaped(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
