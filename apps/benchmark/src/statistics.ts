import type { Measurement } from './contestant.ts';
import type { Contender, Goal, Table } from './table.ts';

/** Of several rounds. */
export interface Spread {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

/** One contender over all rounds. */
export interface Summary {
  readonly contender: string;
  /** Messages per second. */
  readonly rate: Spread;
  /** Rate as a ratio to the first contender's of the same round. */
  readonly rateRatio: Spread;
  /** Microseconds of processor time per message, in the client. */
  readonly cpu: Spread;
  readonly cpuRatio: Spread;
  readonly peakBytes: Spread;
  /** HTTP requests per 1,000 messages. */
  readonly requests: Spread;
  /** The contestant's own figures. */
  readonly figures: Readonly<Record<string, Spread>>;
}

/** Measurements of one round, in the order of the contenders. */
export type Round = readonly Measurement[];

export function spreadOf(values: readonly number[]): Spread {
  const sorted = [...values].sort((left, right) => left - right);
  const at = (index: number): number => sorted[index] ?? Number.NaN;
  const middle = (sorted.length - 1) / 2;
  return {
    median: (at(Math.floor(middle)) + at(Math.ceil(middle))) / 2,
    least: at(0),
    most: at(sorted.length - 1),
  };
}

/** @param messages of a contender, as they were scaled. */
export function summarize(
  table: Table,
  rounds: readonly Round[],
  messages: (contender: Contender) => number,
): Summary[] {
  return table.contenders.map((contender, index) => {
    const own = rounds.map((round) => round[index] as Measurement);
    const first = rounds.map((round) => round[0] as Measurement);
    const [baseline] = table.contenders;
    const rateOf = (measurement: Measurement, of: Contender = contender): number =>
      messages(of) / (measurement.milliseconds / 1_000);
    const cpuOf = (measurement: Measurement, of: Contender = contender): number =>
      (measurement.cpuMilliseconds * 1_000) / messages(of);
    const ratios = (figure: typeof rateOf): Spread =>
      spreadOf(
        own.map((measurement, round) => figure(measurement) / figure(first[round] as Measurement, baseline)),
      );
    const names = Object.keys(own[0]?.figures ?? {});
    return {
      contender: contender.name,
      rate: spreadOf(own.map((measurement) => rateOf(measurement))),
      rateRatio: ratios(rateOf),
      cpu: spreadOf(own.map((measurement) => cpuOf(measurement))),
      cpuRatio: ratios(cpuOf),
      peakBytes: spreadOf(own.map(({ peakBytes }) => peakBytes)),
      requests: spreadOf(own.map(({ requests }) => (requests * 1_000) / messages(contender))),
      figures: Object.fromEntries(
        names.map((name) => [name, spreadOf(own.map(({ figures }) => figures[name] ?? Number.NaN))]),
      ),
    };
  });
}

/** A goal, and what was reached. */
export interface Verdict extends Goal {
  readonly reached: number;
  readonly isMet: boolean;
}

export function judge(table: Table, summaries: readonly Summary[]): Verdict[] {
  return table.goals.map((goal) => {
    const summary = summaries.find(({ contender }) => contender === goal.contender);
    const figures = { rate: summary?.rateRatio, cpu: summary?.cpuRatio, requests: summary?.requests };
    const reached = figures[goal.figure]?.median ?? Number.NaN;
    const isMet = goal.bound === 'at least' ? reached >= goal.value : reached <= goal.value;
    return { ...goal, reached, isMet };
  });
}
