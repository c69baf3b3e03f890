import type { Labels } from './message-metrics.ts';

/** As many series a metric has at most, as OpenTelemetry's SDKs keep to: further ones become one. */
const maxSeries = 2_000;

/** Labels of what is counted together once there are too many series. */
const overflow: Labels = { 'otel.metric.overflow': 'true' };

/** Values by their labels. */
export class SeriesMap<Value> {
  readonly #series = new Map<string, { readonly labels: Labels; readonly value: Value }>();
  readonly #create: () => Value;

  constructor(create: () => Value) {
    this.#create = create;
  }

  of(labels: Labels): Value {
    const key = keyOf(labels);
    const known = this.#series.get(key);
    if (known !== undefined) return known.value;
    if (this.#series.size >= maxSeries && labels !== overflow) return this.of(overflow);
    const value = this.#create();
    this.#series.set(key, { labels, value });
    return value;
  }

  [Symbol.iterator](): Iterator<{ readonly labels: Labels; readonly value: Value }> {
    return this.#series.values();
  }
}

/** Names of a metric's labels come in one order: their values tell series apart. */
function keyOf(labels: Labels): string {
  let key = '';
  for (const name in labels) key += `${name}\u0000${labels[name]}\u0000`;
  return key;
}
