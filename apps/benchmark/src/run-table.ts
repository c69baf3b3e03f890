import { randomUUID } from 'node:crypto';
import type { BenchmarkOptions } from './arguments.ts';
import type { Compiled } from './compile.ts';
import type { Measurement, Task } from './contestant.ts';
import { runContestant } from './run-contestant.ts';
import { judge, type Round, type Summary, summarize, type Verdict } from './statistics.ts';
import type { Contender, Stage, Table } from './table.ts';

/** What came of one table. */
export interface TableResult {
  readonly table: Table;
  readonly rounds: readonly Round[];
  readonly summaries: readonly Summary[];
  readonly verdicts: readonly Verdict[];
}

/** How one table is run. */
export interface TableRun {
  readonly compiled: Compiled;
  readonly options: Pick<BenchmarkOptions, 'rounds' | 'scale' | 'profileTo'>;
  /** Of the table's broker; empty where it has none. */
  readonly address: string;
  /** Told before each run. */
  readonly onRun: (what: string) => void;
}

/** Nothing is prepared where there is no broker. */
const noStage: Stage = {
  before: async () => undefined,
  after: async () => undefined,
  close: async () => undefined,
};

/** Measures every contender once per round, one after the other. */
export async function runTable(table: Table, run: TableRun): Promise<TableResult> {
  const { rounds, scale, profileTo } = run.options;
  const runId = `bench-${randomUUID().slice(0, 8)}`;
  const stage = (await table.stage?.(run.address)) ?? noStage;
  const messagesOf = (contender: Contender): number =>
    Math.max(1, Math.round((contender.messages ?? table.messages) * scale));
  const measured: Measurement[][] = [];
  try {
    for (let round = 1; round <= rounds; round += 1) {
      const measurements: Measurement[] = [];
      for (const [index, contender] of table.contenders.entries()) {
        run.onRun(`${table.name}: round ${round} of ${rounds}, ${contender.name}`);
        const task: Task = {
          address: run.address,
          queue: `${runId}-${index}`,
          messages: messagesOf(contender),
          warmUp: Math.max(1, Math.round(Math.min(table.warmUp, contender.messages ?? table.warmUp) * scale)),
          inFlight: contender.inFlight ?? table.inFlight,
          parameters: contender.parameters ?? {},
        };
        await stage.before(contender, task);
        measurements.push(await runContestant(run.compiled, contender.file, task, profileTo));
        await stage.after(contender, task);
      }
      measured.push(measurements);
    }
  } finally {
    await stage.close();
  }
  const summaries = summarize(table, measured, messagesOf);
  return { table, rounds: measured, summaries, verdicts: judge(table, summaries) };
}
