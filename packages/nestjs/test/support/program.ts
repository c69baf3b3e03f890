import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../../../', import.meta.url));

const settings = fileURLToPath(new URL('../tsconfig.json', import.meta.url));

/** A program of `test/programs` in a process of its own. */
export class Program implements AsyncDisposable {
  readonly #process: ChildProcess;
  readonly #exited: Promise<readonly [code: number | null, signal: NodeJS.Signals | null]>;
  #output = '';
  #onOutput: () => void = () => undefined;

  constructor(name: string, environment: Readonly<Record<string, string>>) {
    const path = fileURLToPath(new URL(`../programs/${name}.ts`, import.meta.url));
    this.#process = spawn(process.execPath, ['--import', 'tsx', path], {
      cwd: root,
      // Decorators are those of `experimentalDecorators`.
      env: { ...process.env, TSX_TSCONFIG_PATH: settings, ...environment },
    });
    this.#exited = once(this.#process, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        this.#output += chunk.toString();
        this.#onOutput();
      });
    }
  }

  /** All that it has written. */
  get output(): string {
    return this.#output;
  }

  /** Resolves when it has written that. */
  async writes(pattern: RegExp): Promise<RegExpExecArray> {
    const ended = this.#exited.then(() => {
      throw new Error(`It ended without writing ${pattern}:\n${this.#output}`);
    });
    ended.catch(() => undefined);
    for (;;) {
      const match = pattern.exec(this.#output);
      if (match !== null) return match;
      await Promise.race([
        ended,
        new Promise<void>((resolve) => {
          this.#onOutput = resolve;
        }),
      ]);
    }
  }

  send(line: string): void {
    this.#process.stdin?.write(`${line}\n`);
  }

  signal(name: NodeJS.Signals): void {
    this.#process.kill(name);
  }

  /** Its exit code, or the signal that ended it. */
  async exit(): Promise<number | NodeJS.Signals | null> {
    const [code, signal] = await this.#exited;
    return code ?? signal;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.#exited;
  }
}
