import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

export const run: (
  program: string,
  parameters: readonly string[],
  options?: { readonly env?: NodeJS.ProcessEnv },
) => Promise<{ stdout: string; stderr: string }> = promisify(execFile) as never;

export const main: string = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

/** What a run of the program left. */
export interface Ended {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

export async function orderSaga(parameters: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ended> {
  try {
    const options = { env: { ...process.env, ...env } };
    const ended = await run(process.execPath, ['--import', 'tsx', main, ...parameters], options);
    return { status: 0, ...ended };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { status: code, stdout, stderr };
  }
}

/** The numbers of the table by their names. */
export function figures(stdout: string): Record<string, number> {
  const rows = stdout.matchAll(/│ ([a-z- ]+?) +│ (\d+)/g);
  return Object.fromEntries([...rows].map(([, name, value]) => [name, Number(value)]));
}
