import Table from 'cli-table3';
import ora from 'ora';
import type { LedgerSummary } from './ledger.ts';

/** Shows how far a run is. */
export interface Progress {
  update(ended: number, placed: number): void;
  /** A line of its own. */
  say(line: string): void;
  done(): void;
}

/** A spinner on a terminal; a line for each tenth where the output is piped, or the terminal cannot draw one. */
export function startProgress(orders: number): Progress {
  return startSpinner(orders) ?? startLines(orders);
}

function startSpinner(orders: number): Progress | undefined {
  // ora writes to standard error; on a terminal without a width, as some programs make them, it would clear for ever.
  if (!process.stdout.isTTY || !(process.stderr.columns > 0)) return undefined;
  // With its default ora makes the terminal raw, and Ctrl-C then reaches nobody.
  const spinner = ora({ text: 'placing orders', discardStdin: false }).start();
  if (!spinner.isSpinning) return undefined;
  return {
    update(ended, placed) {
      spinner.text = `${placed} placed, ${ended} of ${orders} ended`;
    },
    say(line) {
      spinner.stop();
      console.log(line);
      spinner.start();
    },
    done: () => void spinner.stop(),
  };
}

function startLines(orders: number): Progress {
  let lastTenth = 0;
  return {
    update(ended) {
      const tenth = Math.floor((ended / orders) * 10);
      if (tenth > lastTenth) console.log(`${ended} of ${orders} orders ended`);
      lastTenth = Math.max(lastTenth, tenth);
    },
    say: (line) => console.log(line),
    done: () => undefined,
  };
}

/** How a run went. */
export interface RunReport extends LedgerSummary {
  readonly retried: number;
  readonly duplicates: number;
  readonly seconds: number;
}

/** The table at the end. */
export function table(report: RunReport): string {
  const rows = new Table({ style: { head: [], border: [] } });
  rows.push(
    ['orders placed', report.placed],
    ['paid', report.paid],
    ['completed', report.completed],
    ['retried', report.retried],
    ['dead-lettered', report.deadLettered],
    ['duplicates suppressed', report.duplicates],
    report.notFinished > 0 ? ['not finished', report.notFinished] : ['lost', report.lost],
    ['unaccounted for', report.unaccounted],
    ['paid twice', report.paidTwice],
    ['time', `${report.seconds.toFixed(2)} s`],
    ['rate', `${Math.round(report.placed / report.seconds)} orders/s`],
  );
  return rows.toString();
}

const namedAtMost = 10;

/** The orders that went wrong or did not end, in one line; `undefined` if there are none. */
export function complaint({ wrong, notFinished }: LedgerSummary): string | undefined {
  const stopped = `stopped: ${notFinished} orders are not finished`;
  if (wrong.length === 0) return notFinished > 0 ? stopped : undefined;
  const more = wrong.length > namedAtMost ? ` and ${wrong.length - namedAtMost} more` : '';
  return `not as it should be: ${wrong.slice(0, namedAtMost).join(', ')}${more}`;
}
