import { readFileSync } from 'node:fs';
import {
  ConsumedQueues,
  MessageMetrics,
  measure,
  onEvent,
  onTrace,
  QueueDepths,
} from '@melange/metrics/instruments';
import type { MeterProvider } from '@opentelemetry/api';
import {
  InstrumentationBase,
  SemconvStability,
  semconvStabilityFromStr,
} from '@opentelemetry/instrumentation';
import type { MelangeInstrumentationConfig } from './config.ts';
import { instrumentsOf } from './instruments.ts';
import { observe } from './queue-gauges.ts';
import { DeliverySpans } from './traces/delivery-spans.ts';
import { PublishSpans } from './traces/publish-spans.ts';

/**
 * Records what Melange publishes, processes and settles. Give it to `registerInstrumentations` or `NodeSDK`; it listens to
 * Melange's own channels, so it works in ES modules without a loader hook, and whether Melange was imported before it or
 * after it. Enable it before queues are consumed: deliveries that are under way at that moment are not recorded.
 */
export class MelangeInstrumentation extends InstrumentationBase<MelangeInstrumentationConfig> {
  #stop: (() => void) | undefined;
  #meterProvider: MeterProvider | undefined;

  constructor(config: MelangeInstrumentationConfig = {}) {
    // The base would enable it before its fields are there.
    super('@melange/opentelemetry', versionOfPackage(), { ...config, enabled: false });
    this.setConfig(config);
    if (this.getConfig().enabled) this.enable();
  }

  /** Begins to record. Does nothing when it does already. */
  override enable(): void {
    if (this.#stop !== undefined) return;
    const stops = this.#listen();
    this.#stop = () => {
      for (const stop of stops) stop();
    };
  }

  /** Ends recording. Spans that are open stay open: disable it when nothing is under way. */
  override disable(): void {
    this.#stop?.();
    this.#stop = undefined;
  }

  /** Records metrics from now on. Queues that are consumed already have no gauges. */
  override setMeterProvider(meterProvider: MeterProvider): void {
    super.setMeterProvider(meterProvider);
    this.#meterProvider = meterProvider;
    if (this.#stop === undefined) return;
    this.disable();
    this.enable();
  }

  /** Whether it records at present. */
  override isEnabled(): boolean {
    return this.#stop !== undefined;
  }

  /** Nothing to patch. */
  protected override init(): undefined {
    return undefined;
  }

  #listen(): readonly (() => void)[] {
    const { processSpans, createSpans = true, receiveSpans = false, settleSpans = false } = this.getConfig();
    const tracer = () => this.tracer;
    const optIn = semconvStabilityFromStr('messaging', process.env.OTEL_SEMCONV_STABILITY_OPT_IN);
    const writesOldNames = optIn === SemconvStability.DUPLICATE;
    const publish = new PublishSpans({ tracer, createSpans, writesOldNames });
    const areChildren = processSpans === 'child';
    const deliveries = new DeliverySpans({ tracer, areChildren, receiveSpans, settleSpans, writesOldNames });
    return [
      onTrace('publish', publish),
      onTrace('receive', deliveries.receive),
      onTrace('process', deliveries.process),
      ...(settleSpans ? [onTrace('settle', deliveries.settle)] : []),
      onEvent('duplicate', deliveries.duplicate),
      onEvent('error', deliveries.error),
      ...this.#measure(),
    ];
  }

  #measure(): readonly (() => void)[] {
    const { metrics = true, queueDepthIntervalMs = 30_000, queueDepthLease } = this.getConfig();
    if (!metrics || this.#meterProvider === undefined) return [];
    const instruments = instrumentsOf(this.meter);
    const messages = new MessageMetrics(instruments);
    const depths = new QueueDepths({
      depthIntervalMs: queueDepthIntervalMs,
      ...(queueDepthLease && { depthLease: queueDepthLease }),
    });
    const queues = new ConsumedQueues(depths, (system, queue) => messages.begin(system, queue));
    return [measure(messages, queues), observe(instruments, queues)];
  }
}

/** A bundle has no such file. */
function versionOfPackage(): string {
  try {
    const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
    return (JSON.parse(text) as { readonly version: string }).version;
  } catch {
    return '';
  }
}
