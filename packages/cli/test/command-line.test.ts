import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { importPackage } from '../src/connect/brokers.ts';
import { harmless, harmlessJson } from '../src/output/harmless.ts';
import { Output } from '../src/output/output.ts';
import { Progress } from '../src/output/progress.ts';
import { Secrets } from '../src/output/secrets.ts';
import { type Installed, install } from './support/installed.ts';
import { type Ended, run as runOf, type Setting } from './support/run.ts';

const execute = promisify(execFile);

let installed: Installed;
/** A project without a config. */
let folder: string;
beforeAll(async () => {
  installed = await install();
  folder = join(installed.folder, 'project');
  await mkdir(folder);
});
afterAll(() => installed[Symbol.asyncDispose]());

const run = (args: readonly string[], more: Omit<Setting, 'installed'> = {}): Promise<Ended> =>
  runOf(args, { installed, ...more });

/** A port where nobody listens. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe('the command line', () => {
  it('has help on each level, with exit codes', async () => {
    const help = await run(['--help']);
    expect(help).toMatchObject({ code: 0, err: '' });
    for (const text of ['queues', 'doctor', '--rabbitmq', 'Exit codes:']) expect(help.out).toContain(text);
    const deep = await run(['dead', 'redrive', '--help']);
    for (const text of ['--first', '--yes', '--json', 'Exit codes:']) expect(deep.out).toContain(text);
  });

  it('answers what makes no sense with 2, in one line, and nothing on standard output', async () => {
    const none = await run(['queues', 'orders'], { cwd: folder });
    expect(none).toMatchObject({ code: 2, out: '' });
    expect(none.err).toMatch(/^error: No broker: .+\n$/);
    expect(await run(['nonsense'])).toMatchObject({ code: 2, out: '' });
    const time = await run(['dead', 'list', 'a', '--from', 'tomorrowish', '--redis', 'redis://127.0.0.1:1']);
    expect(time).toMatchObject({ code: 2, err: expect.stringContaining('--from must be a time') });
  });

  it('says in one line that a broker is away, and never shows credentials', async () => {
    const url = `amqp://admin:s3cr%40t@127.0.0.1:${await freePort()}`;
    for (const setting of [{ args: ['--rabbitmq', url] }, { args: [], env: { MELANGE_RABBITMQ: url } }]) {
      const { code, out, err } = await run(['queues', 'orders', ...setting.args], {
        env: setting.env ?? {},
        cwd: folder,
      });
      expect(code).toBe(1);
      expect(out + err).toContain('127.0.0.1');
      for (const secret of ['s3cr', 'admin']) expect(out + err).not.toContain(secret);
    }
  });

  it('says of a config what is wrong with it', async () => {
    const config = async (text: string): Promise<string> => {
      await writeFile(join(folder, 'melange.config.ts'), text);
      return (await run(['queues'], { cwd: folder })).err;
    };
    expect(await config('export default 7;')).toContain('exports no config by default');
    expect(await config('export default { service: [] };')).toContain('unknown setting "service"');
    expect(await config('throw new Error("no DATABASE_URL");')).toMatch(
      /could not be loaded: no DATABASE_URL\n$/,
    );
    expect(await config('const a: number = 1; export default { queues: ["a"] };')).toContain('No broker');
  });

  it('says of a package that is not installed how to install it', async () => {
    await expect(importPackage(folder, '@melange/backend-nowhere')).rejects.toThrow(
      'The package @melange/backend-nowhere is not installed: npm install @melange/backend-nowhere',
    );
  });

  it('completes commands and options in bash', async () => {
    const { out: script } = await run(['completion', 'bash']);
    const complete = async (...words: string[]): Promise<string[]> => {
      const line = `COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}; _melange; echo "\${COMPREPLY[@]}"`;
      const { stdout } = await execute('bash', ['-c', `${script}\n${line}`]);
      return stdout.trim().split(' ');
    };
    expect(await complete('melange', 'd')).toEqual(['dashboard', 'dead', 'doctor']);
    expect(await complete('melange', 'dead', 're')).toEqual(['redrive']);
    expect(await complete('melange', 'dead', 'redrive', 'orders', '--fi')).toEqual(['--first']);
    expect(await complete('melange', '--json', 'dead', 'sh')).toEqual(['show']);
    for (const shell of ['zsh', 'fish']) {
      const { code, out } = await run(['completion', shell]);
      expect(code).toBe(0);
      expect(out).toContain('redrive');
    }
    expect((await run(['completion', 'tcsh'])).code).toBe(2);
  });
});

describe('output', () => {
  const written = (isTTY: boolean, env: Record<string, string> = {}) => {
    const parts: string[] = [];
    const sink = { isTTY, columns: 60, write: (part: string) => parts.push(part) };
    const output = new Output({ out: sink, err: sink, env, json: false, secrets: new Secrets() });
    return { output, text: () => parts.join('') };
  };
  const control = '\u001b';

  it('has colours on a terminal alone, and not with NO_COLOR', () => {
    for (const [isTTY, env, isColoured] of [
      [true, {}, true],
      [true, { NO_COLOR: '1' }, false],
      [true, { TERM: 'dumb' }, false],
      [false, {}, false],
    ] as const) {
      const { output, text } = written(isTTY, env);
      output.table(['queue'], [['orders']]);
      expect(text().includes(control)).toBe(isColoured);
    }
  });

  it('shows progress as a bar on a terminal, and not in a pipe', () => {
    const terminal = written(true);
    new Progress(terminal.output, 'moved').show({ done: 12, total: 24, failed: 1 });
    expect(terminal.text()).toBe(`\r${control}[2K[############............] moved 12 of 24, 1 failed`);
    const pipe = written(false);
    new Progress(pipe.output, 'moved').show({ done: 12, total: 24, failed: 1 });
    expect(pipe.text()).toBe('');
  });

  it('JSON means the same when it is made harmless', () => {
    const value = { a: '\u001b[2J\u009b\u202e\u2028\n' };
    const text = harmlessJson(JSON.stringify(value));
    expect(JSON.parse(text)).toEqual(value);
    expect(text).toMatch(/^[ -~]+$/);
    expect(harmless('a\tb\r\n')).toBe('a\\tb\\r\\n');
  });
});
