import { spawn, spawnSync } from 'node:child_process';

/** Prometheus's own checker: `PROMTOOL`, else that of the path; `undefined` where there is none. */
export const promtool: string | undefined = [process.env.PROMTOOL, 'promtool'].find(
  (program) => program !== undefined && spawnSync(program, ['--version']).status === 0,
);

/** What it has to say against a text of metrics: nothing, when all is well. */
export function checkMetrics(text: string): Promise<string> {
  return run(['check', 'metrics'], text);
}

/** Runs it. Answers its complaints, or nothing. */
export async function run(parameters: readonly string[], input = ''): Promise<string> {
  const child = spawn(promtool as string, parameters, { stdio: ['pipe', 'pipe', 'pipe'] });
  let output = '';
  child.stdout.on('data', (data) => {
    output += data;
  });
  child.stderr.on('data', (data) => {
    output += data;
  });
  child.stdin.end(input);
  const status = await new Promise((resolve) => {
    child.on('close', resolve);
  });
  return status === 0 ? '' : output;
}
