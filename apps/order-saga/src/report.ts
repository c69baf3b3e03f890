import Table from 'cli-table3';
import ora from 'ora';
import type { LedgerSummary } from './ledger.ts';

/** Shows how far a run is. */
export interface Progress {
  update(ended: number, placed: number): void;
  done(): void;
}

/** A spinner on a terminal; a line for each tenth where the output is piped. */
export function startProgress(orders: number): Progress {
  if (!process.stdout.isTTY) {
    let lastTenth = 0;
    return {
      update(ended) {
        const tenth = Math.floor((ended / orders) * 10);
        if (tenth > lastTenth) console.log(`${ended} of ${orders} orders ended`);
        lastTenth = Math.max(lastTenth, tenth);
      },
      done: () => undefined,
    };
  }
  const spinner = ora('placing orders').start();
  return {
    update(ended, placed) {
      spinner.text = `${placed} placed, ${ended} of ${orders} ended`;
    },
    done: () => void spinner.stop(),
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
    ['lost', report.lost],
    ['unaccounted for', report.unaccounted],
    ['time', `${report.seconds.toFixed(2)} s`],
    ['rate', `${Math.round(report.placed / report.seconds)} orders/s`],
  );
  return rows.toString();
}
