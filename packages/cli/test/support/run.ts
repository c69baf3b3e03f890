import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import type { Installed } from './installed.ts';

/** How the command ended. */
export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** What the command runs in. */
export interface Setting {
  readonly installed: Installed;
  /** Default: where it is installed. */
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
}

/** A command that is running. */
export interface Running {
  readonly child: ChildProcessWithoutNullStreams;
  readonly ended: Promise<Ended>;
  /** Resolves when standard output and error together contain the text. */
  saw(text: string): Promise<void>;
  /** Standard output so far. */
  out(): string;
}

/** Starts the real command in a process of its own. */
export function start(args: readonly string[], { installed, cwd, env = {}, input }: Setting): Running {
  const child = spawn(process.execPath, [installed.main, ...args], {
    cwd: cwd ?? installed.folder,
    env: { PATH: process.env.PATH, ...env },
  });
  let [out, err] = ['', ''];
  const waiting = new Set<() => void>();
  const look = (): void => {
    for (const check of [...waiting]) check();
  };
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
    look();
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text;
    look();
  });
  child.stdin.on('error', () => undefined);
  child.stdin.end(input ?? '');
  const ended = new Promise<Ended>((resolve) => child.once('close', (code) => resolve({ code, out, err })));
  const saw = (text: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const check = (): void => {
        if (!(out + err).includes(text)) return;
        waiting.delete(check);
        resolve();
      };
      waiting.add(check);
      void ended.then((how) => reject(new Error(`"${text}" never came: ${JSON.stringify(how)}`)));
      check();
    });
  return { child, ended, saw, out: () => out };
}

/** Runs the real command to its end. */
export function run(args: readonly string[], setting: Setting): Promise<Ended> {
  return start(args, setting).ended;
}

/** Runs it for its JSON. */
export async function json<Answer>(args: readonly string[], setting: Setting): Promise<Answer> {
  const { out, err } = await run([...args, '--json'], setting);
  try {
    return JSON.parse(out) as Answer;
  } catch {
    throw new Error(`no JSON: ${out}\n${err}`);
  }
}
