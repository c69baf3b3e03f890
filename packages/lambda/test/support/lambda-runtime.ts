import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

interface Pending {
  readonly event: unknown;
  readonly timeoutMs: number;
  readonly resolve: (response: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** One environment of Lambda: the Runtime API on the loopback interface, and Amazon's client of it with a function. */
export class LambdaRuntime implements AsyncDisposable {
  readonly #server: Server;
  readonly #pending = new Map<string, Pending>();
  readonly #asked: ((response: Pending & { readonly id: string }) => void)[] = [];
  readonly #queue: (Pending & { readonly id: string })[] = [];
  #process: ChildProcess | undefined;
  #count = 0;
  #output = '';

  private constructor() {
    this.#server = createServer((request, response) => void this.#onRequest(request, response));
  }

  /** @param folder of a function whose `index.mjs` exports `handler`. */
  static async start(folder: string, environment: Readonly<Record<string, string>>): Promise<LambdaRuntime> {
    const runtime = new LambdaRuntime();
    await new Promise<void>((resolve) => runtime.#server.listen(0, '127.0.0.1', resolve));
    const { port } = runtime.#server.address() as AddressInfo;
    const client = join(
      dirname(createRequire(import.meta.url).resolve('aws-lambda-ric')),
      '../bin/index.mjs',
    );
    const addon = fileURLToPath(new URL('rapid-client.cjs', import.meta.url));
    const child = spawn(process.execPath, ['--require', addon, client, 'index.handler'], {
      cwd: folder,
      env: {
        PATH: process.env.PATH,
        AWS_LAMBDA_RUNTIME_API: `127.0.0.1:${port}`,
        AWS_LAMBDA_NODEJS_USE_ALTERNATIVE_CLIENT_1: 'true',
        AWS_LAMBDA_FUNCTION_NAME: 'billing',
        AWS_LAMBDA_FUNCTION_VERSION: '1',
        AWS_LAMBDA_FUNCTION_MEMORY_SIZE: '512',
        AWS_LAMBDA_LOG_GROUP_NAME: 'billing',
        AWS_LAMBDA_LOG_STREAM_NAME: 'billing',
        LAMBDA_TASK_ROOT: folder,
        AWS_REGION: 'us-east-1',
        AWS_ACCESS_KEY_ID: 'test',
        AWS_SECRET_ACCESS_KEY: 'test',
        ...environment,
      },
    });
    for (const stream of [child.stdout, child.stderr])
      stream?.on('data', (chunk: Buffer) => {
        runtime.#output += chunk.toString();
      });
    child.once('exit', (code) =>
      runtime.#failAll(new Error(`The function's process ended with ${code}: ${runtime.#output}`)),
    );
    runtime.#process = child;
    return runtime;
  }

  /** All that the function has written. */
  get output(): string {
    return this.#output;
  }

  /** What the function answers; rejects with what it reports as its error. */
  invoke<Response>(event: unknown, timeoutMs = 60_000): Promise<Response> {
    return new Promise((resolve, reject) => {
      this.#count += 1;
      const pending = {
        id: `invocation-${this.#count}`,
        event,
        timeoutMs,
        resolve: resolve as Pending['resolve'],
        reject,
      };
      const ask = this.#asked.shift();
      if (ask === undefined) this.#queue.push(pending);
      else ask(pending);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const child = this.#process;
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  async #onRequest(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = '';
    for await (const chunk of request) body += chunk;
    const [, , , what, id = '', how] = (request.url ?? '').split('/');
    if (what === 'invocation' && id === 'next') {
      const next = this.#queue.shift();
      const answer = (pending: Pending & { readonly id: string }): void => {
        this.#pending.set(pending.id, pending);
        response.writeHead(200, {
          'content-type': 'application/json',
          'lambda-runtime-aws-request-id': pending.id,
          'lambda-runtime-deadline-ms': String(Date.now() + pending.timeoutMs),
          'lambda-runtime-invoked-function-arn': 'arn:aws:lambda:us-east-1:000000000000:function:billing',
        });
        response.end(JSON.stringify(pending.event));
      };
      if (next === undefined) this.#asked.push(answer);
      else answer(next);
      return;
    }
    response.writeHead(202).end('{"status":"OK"}');
    const error = (): Error => new Error(`${body}\n${this.#output}`);
    if (what === 'init') this.#failAll(error());
    const pending = this.#pending.get(id);
    if (how === 'response') pending?.resolve(JSON.parse(body));
    if (how === 'error') pending?.reject(error());
  }

  #failAll(error: Error): void {
    for (const { reject } of [...this.#pending.values(), ...this.#queue]) reject(error);
  }
}
