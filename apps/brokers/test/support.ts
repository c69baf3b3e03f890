import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../..', import.meta.url));
const main = fileURLToPath(new URL('../src/main.ts', import.meta.url));

/** What a run of the command line left. */
export interface Outcome {
  readonly status: number;
  readonly lines: readonly string[];
  readonly errors: readonly string[];
}

/** A folder for temporary files that takes the record of what `up` started, apart from the run's own. */
export async function temporaryFolder(): Promise<{ path: string; remove(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'melange-test-'));
  // The broker runs as another user, and its data is inside.
  await chmod(path, 0o755);
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}

/** Runs `pnpm brokers` in an environment of its own, and passes on what it prints while it runs. */
export function command(
  parameters: readonly string[],
  options: {
    readonly folder: string;
    readonly env?: NodeJS.ProcessEnv;
    readonly heard?: (text: string) => void;
    /** Kills it. */
    readonly signal?: AbortSignal;
  },
): Promise<Outcome> {
  const env = environment(options);
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      ['--import', 'tsx', main, ...parameters],
      { cwd: root, env, signal: options.signal, killSignal: 'SIGKILL' },
      (error, stdout, stderr) => {
        resolve({
          status: error === null ? 0 : Number(error.code),
          lines: linesOf(stdout),
          errors: linesOf(stderr),
        });
      },
    );
    child.stdout?.on('data', (text: string) => options.heard?.(text));
  });
}

/** An environment without the addresses and the record that the test run itself uses. */
export function environment(options: {
  readonly folder: string;
  readonly env?: NodeJS.ProcessEnv;
}): NodeJS.ProcessEnv {
  const {
    RABBITMQ_URL: _rabbitMq,
    REDIS_URL: _redis,
    SQS_URL: _sqs,
    KAFKA_URL: _kafka,
    NATS_URL: _nats,
    POSTGRES_URL: _postgres,
    ...inherited
  } = process.env;
  // No Docker engine answers there: what these tests start, they start as a process.
  const docker = { DOCKER_HOST: 'tcp://127.0.0.1:1' };
  return { ...inherited, ...docker, TMPDIR: options.folder, ...options.env };
}

function linesOf(text: string): string[] {
  return text.split('\n').filter((line) => line !== '');
}

/** A server that takes connections, and says what it is told to; nothing by default. */
export async function speaker(
  port = 0,
  answer = '',
  host = '127.0.0.1',
): Promise<{ port: number; connected(count: number): Promise<void>; close(): Promise<void> }> {
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('data', () => answer !== '' && socket.write(answer));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
  return {
    port: (server.address() as { port: number }).port,
    async connected(count) {
      while (sockets.size < count) await once(server, 'connection');
    },
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}
