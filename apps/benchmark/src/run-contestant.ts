import { fork } from 'node:child_process';
import type { Compiled } from './compile.ts';
import type { Measurement, Task } from './contestant.ts';

/** A run that takes longer has hung. */
const patienceMs = 300_000;

/**
 * Runs one contestant in a process of its own.
 *
 * @param profileTo directory for a CPU profile and a sampled heap profile. Default: none are made.
 */
export function runContestant(
  compiled: Compiled,
  contestant: string,
  task: Task,
  profileTo?: string,
): Promise<Measurement> {
  const profiling =
    profileTo === undefined
      ? []
      : ['--cpu-prof', `--cpu-prof-dir=${profileTo}`, '--heap-prof', `--heap-prof-dir=${profileTo}`];
  const child = fork(compiled.child, [compiled.contestant(contestant)], {
    execArgv: profiling,
    // Of several clients that foretell the end of their support: it is no result.
    env: { ...process.env, NODE_NO_WARNINGS: '1' },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`${contestant}: not done within ${patienceMs / 1_000} s`));
    }, patienceMs);
    let answer: { measurement?: Measurement; error?: string } = { error: 'ended without an answer' };
    child.once('message', (message) => {
      answer = message as typeof answer;
    });
    child.once('error', reject);
    child.once('exit', () => {
      clearTimeout(timer);
      const { measurement, error } = answer;
      if (measurement === undefined) reject(new Error(`${contestant}: ${error}`));
      else resolve(measurement);
    });
    child.send(task);
  });
}
