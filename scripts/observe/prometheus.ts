import { spawn, spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Line } from './dashboard-view.ts';

/** A Prometheus that reads one page of metrics each second. */
export interface Prometheus {
  /** What it answers to a query over the time since it began. */
  query(expression: string, legend: string): Promise<readonly Line[]>;
  stop(): Promise<void>;
}

const port = 19_090;

/** Starts the program of the path; `undefined` where there is none. */
export async function startPrometheus(target: string): Promise<Prometheus | undefined> {
  const program = 'prometheus';
  if (spawnSync(program, ['--version']).status !== 0) return undefined;
  const folder = await mkdtemp(join(tmpdir(), 'melange-prometheus-'));
  const scrape = { job_name: 'order-saga', scrape_interval: '2s', static_configs: [{ targets: [target] }] };
  // JSON is YAML.
  await writeFile(join(folder, 'prometheus.yml'), JSON.stringify({ scrape_configs: [scrape] }));
  const parameters = [
    `--config.file=${join(folder, 'prometheus.yml')}`,
    `--storage.tsdb.path=${join(folder, 'data')}`,
    `--web.listen-address=127.0.0.1:${port}`,
  ];
  const child = spawn(program, parameters, { stdio: 'ignore' });
  const base = `http://127.0.0.1:${port}`;
  for (;;) {
    const ready = await fetch(`${base}/-/ready`).then(
      ({ ok }) => ok,
      () => false,
    );
    if (ready) break;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  const began = Date.now() / 1_000;
  return {
    async query(expression, legend) {
      const range = { query: expression, start: String(began), end: String(Date.now() / 1_000), step: '1' };
      const response = await fetch(`${base}/api/v1/query_range?${new URLSearchParams(range)}`);
      const { data, error } = (await response.json()) as Answer;
      if (data === undefined) throw new Error(`${expression}: ${error}`);
      return data.result.map(({ metric, values }) => ({
        name: legend.replaceAll(/\{\{(\w+)\}\}/g, (_, label: string) => metric[label] ?? ''),
        points: values
          .map(([time, value]): [number, number] => [time, Number(value)])
          .filter(([, value]) => Number.isFinite(value)),
      }));
    },
    async stop() {
      const ended = new Promise((resolve) => {
        child.once('exit', resolve);
      });
      child.kill('SIGTERM');
      await ended;
      await rm(folder, { recursive: true });
    },
  };
}

interface Answer {
  readonly error?: string;
  readonly data?: {
    readonly result: readonly {
      readonly metric: Readonly<Record<string, string>>;
      readonly values: readonly (readonly [number, string])[];
    }[];
  };
}
