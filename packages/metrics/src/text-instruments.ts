import type { MetricDefinition } from './definitions.ts';
import type { Counting, Labels, Measuring } from './message-metrics.ts';
import { SeriesMap } from './series.ts';

/** One line of a metric's text, without the metric's name. */
export interface Sample {
  /** After the metric's name: `_bucket`, `_sum`, `_count`, or nothing. */
  readonly suffix: string;
  readonly labels: Labels;
  readonly value: number;
}

/** Keeps a counter for its text. */
export class TextCounter implements Counting {
  readonly #series = new SeriesMap(() => ({ total: 0 }));

  add(value: number, labels: Labels): void {
    this.#series.of(labels).total += value;
  }

  /** As of now, of those series that `isWanted`. */
  samples(isWanted: (labels: Labels) => boolean): readonly Sample[] {
    const samples: Sample[] = [];
    for (const { labels, value } of this.#series)
      if (isWanted(labels)) samples.push({ suffix: '', labels, value: value.total });
    return samples;
  }
}

interface Distribution {
  readonly counts: number[];
  sum: number;
}

/** Keeps a histogram for its text. */
export class TextHistogram implements Measuring {
  readonly #boundaries: readonly number[];
  readonly #series: SeriesMap<Distribution>;

  constructor({ boundaries = [] }: MetricDefinition) {
    this.#boundaries = boundaries;
    this.#series = new SeriesMap(() => ({
      counts: new Array<number>(boundaries.length + 1).fill(0),
      sum: 0,
    }));
  }

  record(value: number, labels: Labels): void {
    const distribution = this.#series.of(labels);
    distribution.sum += value;
    let bucket = 0;
    while (bucket < this.#boundaries.length && value > (this.#boundaries[bucket] as number)) bucket += 1;
    distribution.counts[bucket] = (distribution.counts[bucket] as number) + 1;
  }

  /** As of now, of those series that `isWanted`. */
  samples(isWanted: (labels: Labels) => boolean): readonly Sample[] {
    const samples: Sample[] = [];
    for (const { labels, value } of this.#series) {
      if (!isWanted(labels)) continue;
      let count = 0;
      value.counts.forEach((more, index) => {
        count += more;
        const le = String(this.#boundaries[index] ?? '+Inf');
        samples.push({ suffix: '_bucket', labels: { ...labels, le }, value: count });
      });
      samples.push({ suffix: '_sum', labels, value: value.sum }, { suffix: '_count', labels, value: count });
    }
    return samples;
  }
}
