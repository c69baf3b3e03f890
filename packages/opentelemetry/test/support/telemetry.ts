import { context, propagation, type TextMapPropagator, trace } from '@opentelemetry/api';
import {
  InMemorySpanExporter,
  NodeTracerProvider,
  type ReadableSpan,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-node';
import { MelangeInstrumentation, type MelangeInstrumentationConfig } from '../../src/index.ts';

/** A real SDK whose spans the test reads. One for each test file: what it registers is global. */
export class Telemetry {
  readonly #exporter = new InMemorySpanExporter();
  readonly #open = new Set<string>();
  /** Spans by their ids, in the order in which they started: their times may be the same. */
  readonly #order = new Map<string, number>();
  readonly provider: NodeTracerProvider;
  #instrumentation: MelangeInstrumentation | undefined;

  constructor(propagator?: TextMapPropagator<unknown>) {
    const open = this.#open;
    const order = this.#order;
    const counting = {
      onStart: (span: { spanContext(): { spanId: string } }): void => {
        const { spanId } = span.spanContext();
        open.add(spanId);
        order.set(spanId, order.size);
      },
      onEnd: (span: ReadableSpan): void => void open.delete(span.spanContext().spanId),
      forceFlush: async (): Promise<void> => undefined,
      shutdown: async (): Promise<void> => undefined,
    };
    this.provider = new NodeTracerProvider({
      spanProcessors: [counting, new SimpleSpanProcessor(this.#exporter)],
    });
    this.provider.register(propagator === undefined ? {} : { propagator });
  }

  /** Records as `config` says, in place of what recorded before. */
  instrument(config: MelangeInstrumentationConfig = {}): MelangeInstrumentation {
    this.#instrumentation?.disable();
    this.#exporter.reset();
    this.#instrumentation = new MelangeInstrumentation(config);
    this.#instrumentation.setTracerProvider(this.provider);
    return this.#instrumentation;
  }

  /** Ended spans of a name, in the order in which they started. */
  spans(name?: string): readonly ReadableSpan[] {
    const place = (span: ReadableSpan): number => this.#order.get(idOf(span)) ?? -1;
    const all = this.#exporter.getFinishedSpans().filter((span) => name === undefined || span.name === name);
    return all.sort((one, other) => place(one) - place(other));
  }

  /** The one span of this name. */
  span(name: string): ReadableSpan {
    const [span, ...others] = this.spans(name);
    if (span === undefined || others.length > 0) {
      const names = this.spans().map((each) => each.name);
      throw new Error(
        `${others.length + (span ? 1 : 0)} spans of the name "${name}" among ${names.join(', ')}`,
      );
    }
    return span;
  }

  /** Spans that were started and not ended. */
  get open(): number {
    return this.#open.size;
  }

  async close(): Promise<void> {
    this.#instrumentation?.disable();
    await this.provider.shutdown();
    trace.disable();
    context.disable();
    propagation.disable();
  }
}

/** Ids of the spans that a span links to. */
export function linked(span: ReadableSpan): readonly string[] {
  return span.links.map(({ context: { spanId } }) => spanId);
}

/** Id of a span. */
export function idOf(span: ReadableSpan): string {
  return span.spanContext().spanId;
}
